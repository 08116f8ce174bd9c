#include "api/record_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "api/stream_json.h"
#include "base/timestamp.h"
#include "catalog/catalog.h"

namespace sluice::api {

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::Usage: return "usage";
    case Kind::Event: return "event";
    case Kind::SensorEvent:
    case Kind::Message: break;
  }
  return "";
}

std::optional<Place> parse_place(std::string_view text) {
  std::uint64_t offset = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, offset);
  if (error == std::errc() && stop == end) {
    return offset <= catalog::kIdMax ? std::optional<Place>(Offset{offset}) : std::nullopt;
  }
  const std::optional<std::int64_t> time = parse_timestamp(text);
  return time ? std::optional<Place>(WallTime{*time}) : std::nullopt;
}

std::optional<Place> place_of(const nlohmann::json& value) {
  if (value.is_string()) return parse_place(value.get_ref<const std::string&>());
  return value.is_number_unsigned() ? parse_place(value.dump()) : std::nullopt;
}

Result<Offset> offset_of(const Place& place, OrganisationId organisation,
                         recordlog::RecordLog& log) {
  if (const Offset* const offset = std::get_if<Offset>(&place)) return *offset;
  return log.offset_at(organisation, std::get<WallTime>(place));
}

Result<Offset> offset_behind(const Place& place, OrganisationId organisation,
                             recordlog::RecordLog& log) {
  if (const Offset* const offset = std::get_if<Offset>(&place)) return next(*offset);
  return log.offset_at(organisation, {std::get<WallTime>(place).ms + 1});
}

Result<ScanEnd> scan(recordlog::RecordLog& log, const Clock& clock, const filters::Filter& filter,
                     const ScanRange& range, SteadyTime until,
                     const std::function<bool(const FoundRecord&)>& visit) {
  const Offset to = std::min(range.to, log.end(range.organisation));
  const auto reader = log.reader(range.organisation, range.kinds);
  filters::Evaluator evaluator;
  const auto passes = [&](const recordlog::Chunk& chunk, std::uint32_t index) {
    return filter.passes_all() ||
           evaluator.passes(filter, chunk.kind, chunk.columns[index], chunk.record(index));
  };
  ScanEnd end;
  end.reached = range.from;
  while (end.reached < to) {
    const Result<recordlog::ReadResult> read = reader->read(end.reached);
    if (!read) return read.error();
    end.damaged += read->damaged;
    const auto& chunk = read->chunk;
    if (chunk == nullptr && read->resume <= end.reached) break;  // nothing more is there
    for (std::uint32_t i = 0; chunk != nullptr && i < chunk->count(); ++i) {
      const Offset offset = plus(chunk->first, i);
      if (offset < end.reached) continue;
      if (offset >= to) break;
      end.reached = next(offset);
      end.stored = chunk->stored;
      if (passes(*chunk, i) && !visit({chunk, i})) return end;
    }
    end.reached = std::max(end.reached, std::min(read->resume, to));
    if (end.reached < to && clock.steady() >= until) {
      end.complete = false;
      return end;
    }
  }
  end.reached = std::max(end.reached, to);
  return end;
}

void append_item(const recordlog::Chunk& chunk, std::uint32_t index, std::string& json) {
  fmt::format_to(std::back_inserter(json),
                 R"({{"offset":{},"kind":"{}","stored":"{}","record":{}}})",
                 plus(chunk.first, index).value(), kind_name(chunk.kind), rfc3339(chunk.stored),
                 chunk.record(index));
}

}  // namespace sluice::api
