#pragma once
// A stream's `delivery` object: how its batches are paced and retried (docs: delivery.md).

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace sluice::dispatch {

using Milliseconds = std::chrono::milliseconds;

struct DeliverySettings {
  Milliseconds initial{8'000};   // retry.initial_ms: the wait after the first failure
  Milliseconds max{3'600'000};   // retry.max_ms: where doubling stops
  double jitter = 0.1;           // retry.jitter: a share of the wait, up or down
  Milliseconds timeout{10'000};  // timeout_ms: an attempt's, from DNS to the status line
  std::chrono::seconds error_after{86'400};
  Milliseconds linger{0};    // how long a batch that is not full waits for more
  Milliseconds interval{0};  // at most one batch begins in this time; 0 = no bound
  std::optional<std::chrono::seconds> max_age;  // older records are given up and counted
  std::uint32_t misconfigured_in_a_row = 8;     // at so many the stream goes to Error
  std::uint32_t rejected_in_a_row = 5;          // records refused alone; 0 = never
  bool halt_on_rejected = false;                // on_rejected: "halt"
  bool success_200_only = false;                // success: "200"
  std::uint32_t parallel = 1;                   // requests at a time, each of one device
  friend bool operator==(const DeliverySettings&, const DeliverySettings&) = default;
};

// What is wrong with one property, as the API reports it.
struct DeliveryFault {
  std::string property;  // "delivery.retry.initial_ms"
  std::string message;   // a sentence without the property's name
};

// Nullopt: at least one fault was added to `faults`, one for each property at fault. A missing
// property has its default, so {} gives the defaults.
std::optional<DeliverySettings> parse_delivery(const nlohmann::json& delivery,
                                               std::vector<DeliveryFault>& faults);

// The same, all faults in one message. InvalidArgument.
Result<DeliverySettings> parse_delivery(const nlohmann::json& delivery);

}  // namespace sluice::dispatch
