#pragma once
// Batches for services whose requests hold messages of one ordering key only: the batch's records
// by their key, a request for each key, several under way at a time.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/awaitable.h"
#include "connectors/connector.h"

namespace sluice::connectors {

struct KeyGroup {
  std::string key;  // message_key() of each of them
  std::vector<std::string_view> records;
  std::uint32_t first = 0;  // the first one's number in the batch
  bool delivered = false;
};

// In the order of their first records. Views into the batch.
std::vector<KeyGroup> group_by_key(const RecordBatch& batch);

// One request. Called where send_by_key() runs; `group` outlives the awaitable.
using SendGroup = std::function<Awaitable<SendOutcome>(const KeyGroup& group)>;

// Sends the groups that are not delivered yet, at most `at_once` at a time, and begins none after
// one that failed. What becomes of the batch is decided by the first record that was not taken.
// All arguments outlive the awaitable.
Awaitable<SendOutcome> send_by_key(std::vector<KeyGroup>& groups, std::size_t at_once,
                                   const SendGroup& send);

}  // namespace sluice::connectors
