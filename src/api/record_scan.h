#pragma once
// Looks through an organisation's records for those that pass a filter.

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/clock.h"
#include "base/result.h"
#include "filters/filter.h"
#include "recordlog/recordlog.h"

namespace sluice::api {

// "usage" or "event"; "" for the kinds that have no name here yet.
std::string_view kind_name(Kind kind);

// A place in the log as a request names it: "42" or an RFC 3339 time, which stands for the first
// record stored then or later.
using Place = std::variant<Offset, WallTime>;
std::optional<Place> parse_place(std::string_view text);
std::optional<Place> place_of(const nlohmann::json& value);  // a number, or a text as above
// Blocks.
Result<Offset> offset_of(const Place& place, OrganisationId organisation,
                         recordlog::RecordLog& log);

// One past the record at `place`, or past what was stored up to then. Blocks.
Result<Offset> offset_behind(const Place& place, OrganisationId organisation,
                             recordlog::RecordLog& log);

struct ScanRange {
  OrganisationId organisation;
  KindSet kinds;
  Offset from;
  Offset to;  // not itself; clipped to the end of the log
};

struct ScanEnd {
  Offset reached;                  // everything before was looked at, unless it is lost
  std::optional<WallTime> stored;  // of the last record that was looked at
  bool complete = true;            // false: the time ran out before the end of the range
  std::uint64_t damaged = 0;       // offsets on the way that can no longer be read
};

using FoundRecord = std::pair<std::shared_ptr<const recordlog::Chunk>, std::uint32_t>;

// Calls `visit` with each record that passes `filter`, in order; it says whether to go on. Looks at
// one chunk at least, then stops when `until` has come. Blocks. Io: the disk failed.
Result<ScanEnd> scan(recordlog::RecordLog& log, const Clock& clock, const filters::Filter& filter,
                     const ScanRange& range, SteadyTime until,
                     const std::function<bool(const FoundRecord&)>& visit);

// {"offset": 42, "kind": "event", "stored": "...", "record": {...}}, the record as it is.
void append_item(const recordlog::Chunk& chunk, std::uint32_t index, std::string& json);

}  // namespace sluice::api
