#pragma once
// What the files of StreamMachine share. Internal to dispatch.

#include <cstdint>
#include <limits>
#include <string>

#include "base/units.h"
#include "connectors/connector.h"
#include "dispatch/delivery_settings.h"

namespace sluice::dispatch {

// A batch that waits longer gives its bytes back and is read again.
inline constexpr Milliseconds kHoldWhileWaiting{1000};
inline constexpr Milliseconds kSaveAfter{100};
inline constexpr Milliseconds kOwnFaultWait{1000};  // between tries of our own disk
inline constexpr int kTooLarge = 413;
// What an attempt of a streamed batch takes in memory: a chunk, and what is made of it.
inline constexpr std::uint64_t kStreamedAttemptBytes = 2 * kMiB;

inline void count_one(std::uint16_t& counter) {
  if (counter < std::numeric_limits<std::uint16_t>::max()) ++counter;
}

// How many of the batch's first records arrived although it was not delivered.
std::uint32_t arrived(const connectors::Decision& decision);

// It says nothing about a part of the batch.
bool is_for_all(const connectors::Decision& decision);

// Why the stream goes to Error, and what to do.
std::string gone_for_good(const connectors::Gone& outcome);
std::string wrong_for_good(const std::string& reason);
std::string refused_for_good(Offset record, const connectors::Rejected& outcome);

}  // namespace sluice::dispatch
