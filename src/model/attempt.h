#pragma once
// One attempt to deliver a batch, as the attempts log keeps it.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "model/ids.h"

namespace sluice {

// Who is to look at it when an attempt failed. egress/fault.h says when it is whose. Values are
// written to disk: never change, never reuse.
enum class Fault : std::uint8_t { Destination = 1, Network = 2, Us = 3 };

// Likewise.
enum class AttemptOutcome : std::uint8_t {
  Delivered = 1,
  Retry = 2,
  Rejected = 3,
  Misconfigured = 4,
  Gone = 5,
  SummedUp = 6,  // several attempts, for which there was no room one by one
};

// What went over the wire: bodies from their beginning, no secrets.
struct Exchange {
  std::string request_headers;  // "name: value\n", a line each
  std::string request_body;
  bool answered = false;
  std::string response_headers;  // likewise
  std::string response_body;

  std::size_t bytes() const {
    return request_headers.size() + request_body.size() + response_headers.size() +
           response_body.size();
  }
};

struct Attempt {
  WallTime time;  // when it began
  std::string webhook_id = {};
  std::uint32_t number = 1;  // of this batch, from 1; SummedUp: how many attempts
  Offset first = {};         // of the batch's first and last record
  Offset last = {};
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;         // of the records
  std::optional<int> status = {};  // as SendOutcome::remote_status; none: there was none
  std::chrono::microseconds latency{0};
  AttemptOutcome outcome = AttemptOutcome::Delivered;
  std::string error = {};                         // "" = none
  std::optional<Fault> fault = {};                // none: delivered
  bool broken_off = false;                        // by us: says nothing about the destination
  std::shared_ptr<const Exchange> exchange = {};  // null: not kept
};

}  // namespace sluice
