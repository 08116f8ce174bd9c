#pragma once
// A batch as "record multiple events" requests, and what their answers mean. Pure.
// https://keen.io/docs/api/#record-multiple-events

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/common/service_call.h"
#include "connectors/connector.h"

namespace sluice::connectors::keenio {

// keen.io's limits of a request and of an event: https://keen.io/docs/api/#limits
inline constexpr std::uint64_t kRequestBytesMax = 10'000'000;
inline constexpr std::uint64_t kEventBytesMax = 900'000;
inline constexpr std::size_t kAddedBytesMax = 64;  // to a record: its time, and a comma

// The records of a batch that go to one collection.
struct Part {
  std::string collection;
  std::string body;
  std::vector<std::uint32_t> records;  // of each event in the body: which of the batch's
};

// One for each kind that the batch has, the first record's first; with `collection` not empty all
// of it in one.
std::vector<Part> parts_of(const RecordBatch& batch, std::string_view collection);

ServiceError read_error(const egress::HttpResponse& response);

struct PartOutcome {
  SendOutcome outcome;      // in terms of the whole batch, as if all others were taken
  std::uint32_t taken = 0;  // the part's records before the batch's record of that number were
};
PartOutcome classify(ServiceAnswer answer, const Part& part);

}  // namespace sluice::connectors::keenio
