#include "floor/splitter.h"

#include <cstring>

namespace sluice::bench {

std::optional<JoinedRecords> RecordSplitter::validate_and_join(RecordKind kind, char* body,
                                                               std::size_t size) {
  found_.clear();
  const bool array = size > 0 && body[0] == '[';
  if (!(array ? split_array(kind, body, size) : split_lines(kind, body, size))) return std::nullopt;
  if (found_.empty()) return std::nullopt;
  // Compact records are one byte apart already: then only the commas are written.
  char* const begin = body + (found_.front().data() - body);
  char* end = begin;
  for (const std::string_view record : found_) {
    if (record.data() != end) std::memmove(end, record.data(), record.size());
    end += record.size();
    *end++ = ',';
  }
  return JoinedRecords{begin, static_cast<std::size_t>(end - begin),
                       static_cast<std::uint32_t>(found_.size())};
}

bool RecordSplitter::split_lines(RecordKind kind, char* body, std::size_t size) {
  for (const char *line = body, *const end = body + size; line < end;) {
    const auto left = static_cast<std::size_t>(end - line);
    const void* const newline = std::memchr(line, '\n', left);
    const char* const line_end = newline == nullptr ? end : static_cast<const char*>(newline);
    const std::string_view record(line, static_cast<std::size_t>(line_end - line));
    if (!record.empty()) {
      if (!validate(kind, record)) return false;
      found_.push_back(record);
    }
    line = line_end + 1;
  }
  return true;
}

bool RecordSplitter::split_array(RecordKind kind, char* body, std::size_t size) {
  simdjson::ondemand::document document;
  simdjson::ondemand::array array;
  if (on_demand_.iterate(body, size, size + kRecordsPadding).get(document)) return false;
  if (document.get_array().get(array)) return false;
  for (auto element : array) {
    simdjson::ondemand::object object;
    std::string_view record;  // with the blanks behind it, which is as good
    if (element.get_object().get(object) || object.raw_json().get(record)) return false;
    if (!validate(kind, record)) return false;
    found_.push_back(record);
  }
  return document.current_location().error() == simdjson::OUT_OF_BOUNDS;  // nothing behind it
}

bool RecordSplitter::validate(RecordKind kind, std::string_view record) {
  constexpr bool kCopyForPadding = false;
  simdjson::dom::object object;
  std::int64_t id = 0;
  std::int64_t type = 0;
  std::int64_t organisation = 0;
  std::string_view time;
  if (dom_.parse(record.data(), record.size(), kCopyForPadding).get(object)) return false;
  const bool usage = kind == RecordKind::Usage;
  if (object["id"].get(id) || object[usage ? "start_timestamp" : "timestamp"].get(time) ||
      object[usage ? "traffic_type" : "event_type"]["id"].get(type) ||
      object["organisation"]["id"].get(organisation)) {
    return false;
  }
  fields_ += static_cast<std::uint64_t>(id ^ type ^ organisation) + time.size();
  return true;
}

}  // namespace sluice::bench
