#pragma once
// Splits, validates and joins the floor's records.

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "records.h"

namespace sluice::bench {

inline constexpr std::size_t kRecordsPadding = 64;

// Records joined by commas, with one behind the last; inside the body they came in.
struct JoinedRecords {
  const char* data = nullptr;
  std::size_t bytes = 0;
  std::uint32_t records = 0;
};

class RecordSplitter {
 public:
  // Rewrites `body` (NDJSON or an array) in place; kRecordsPadding bytes behind it are ours, too.
  // nullopt: a record is not valid JSON or lacks a field.
  std::optional<JoinedRecords> validate_and_join(RecordKind kind, char* body, std::size_t size);

 private:
  bool split_lines(RecordKind kind, char* body, std::size_t size);
  bool split_array(RecordKind kind, char* body, std::size_t size);
  bool validate(RecordKind kind, std::string_view record);

  simdjson::dom::parser dom_;
  simdjson::ondemand::parser on_demand_;
  std::vector<std::string_view> found_;
  std::uint64_t fields_ = 0;  // what was taken goes here, so that taking it is not optimised away
};

}  // namespace sluice::bench
