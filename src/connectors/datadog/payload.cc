#include "connectors/datadog/payload.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "connectors/common/look_up.h"
#include "connectors/common/text.h"

namespace sluice::connectors::datadog {
namespace {

using nlohmann::json;

constexpr int kCount = 1;  // the type of metric

constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kMetrics = {{
    {"endpoint.volume", "volume.total"},
    {"endpoint.volume_tx", "volume.tx"},
    {"endpoint.volume_rx", "volume.rx"},
    {"endpoint.cost", "cost"},
}};

std::vector<std::string> tags_of(const json& record, const std::vector<std::string>& own) {
  const std::pair<std::string_view, std::string> found[] = {
      {"endpoint_id", text_at(record, {"endpoint.id"})},
      {"endpoint_name", text_at(record, {"endpoint.name"})},
      {"iccid", text_at(record, {"sim.iccid"})},
      {"imsi", text_at(record, {"imsi", "imsi.imsi"})},
      {"organisation", text_at(record, {"organisation.name", "organisation.id"})},
      {"operator", text_at(record, {"operator.name", "operator.id"})},
      {"country", text_at(record, {"operator.country.name", "operator.country.id"})},
      {"tariff", text_at(record, {"tariff.name", "tariff.id"})},
      {"ratezone", text_at(record, {"tariff.ratezone.name", "tariff.ratezone.id"})},
      {"traffic_type",
       text_at(record, {"traffic_type.description", "traffic_type.name", "traffic_type.id"})},
  };
  std::vector<std::string> tags;
  for (const auto& [name, value] : found) {
    if (!value.empty()) tags.push_back(fmt::format("{}:{}", name, value));
  }
  tags.insert(tags.end(), own.begin(), own.end());
  return tags;
}

// The series of a batch, in the order in which they come up.
class Series {
 public:
  // Whether the record has any point.
  bool add(const json& record, std::int64_t time_s, const std::vector<std::string>& own_tags) {
    bool any = false;
    std::string tags;
    for (const auto& [metric, path] : kMetrics) {
      const json* const value = look_up(record, path);
      if (value == nullptr || !value->is_number()) continue;
      if (!any) {
        tags = json(tags_of(record, own_tags))
                   .dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
      }
      any = true;
      add_point(fmt::format(R"("metric":"{}","type":{},"tags":{})", metric, kCount, tags), time_s,
                value->get<double>());
    }
    return any;
  }

  std::string body() const {
    if (all_.empty()) return "";
    std::string body = R"({"series":[)";
    for (const One& one : all_) {
      if (body.back() == '}') body += ',';
      body += fmt::format(R"({{{},"points":[)", one.head);
      for (const Point& point : one.points) {
        if (body.back() == '}') body += ',';
        // As many digits as a double holds for sure: sums of decimals stay what they are.
        body += fmt::format(R"({{"timestamp":{},"value":{:.15g}}})", point.time_s, point.value);
      }
      body += "]}";
    }
    return body + "]}";
  }

 private:
  struct Point {
    std::int64_t time_s;
    double value;
  };
  struct One {
    std::string head;  // its members but for the points
    std::vector<Point> points;
  };

  void add_point(std::string head, std::int64_t time_s, double value) {
    const auto [place, fresh] = places_.try_emplace(head, all_.size());
    if (fresh) all_.push_back({std::move(head), {}});
    std::vector<Point>& points = all_[place->second].points;
    const auto same = std::ranges::find(points, time_s, &Point::time_s);
    if (same == points.end()) {
      points.push_back({time_s, value});
    } else {
      same->value += value;
    }
  }

  std::vector<One> all_;
  std::unordered_map<std::string, std::size_t> places_;
};

bool too_old(bool usage, std::int64_t age_ms, const Options& options) {
  if (usage) return !options.historical && age_ms > kOldestPointMs;
  return options.events_as_logs && age_ms > kOldestLogMs;
}

void append_log(std::string& logs, std::string_view record, std::int64_t time_ms,
                const std::string& tags) {
  logs += logs.empty() ? "[" : ",";
  logs += fmt::format(R"({{"ddsource":"sluice","service":"sluice","ddtags":{},"timestamp":{},)"
                      R"("message":{}}})",
                      tags, time_ms, in_json(record));
}

}  // namespace

Payload payload_of(const RecordBatch& batch, const Options& options, WallTime now) {
  Payload payload;
  Series series;
  const std::string log_tags = in_json(fmt::format("{}", fmt::join(options.tags, ",")));
  std::uint32_t index = 0;
  for (const RecordRun& run : batch.runs) {
    for (std::uint32_t i = run.begin; i < run.end; ++i, ++index) {
      const std::string_view record = run.chunk->record(i);
      const std::int64_t time_ms = run.chunk->columns[i].time_ms;
      const bool usage = run.chunk->kind == Kind::Usage;
      if (too_old(usage, now.ms - time_ms, options)) {
        if (!payload.too_old) payload.too_old = index;
        ++payload.too_old_count;
        continue;
      }
      if (payload.too_old) {
        payload.series = series.body();
        if (!payload.logs.empty()) payload.logs += ']';
        return payload;
      }
      if (usage) {
        const json parsed = json::parse(record, nullptr, /*allow_exceptions=*/false);
        if (!series.add(parsed, time_ms / 1000, options.tags)) ++payload.skipped;
      } else if (options.events_as_logs) {
        append_log(payload.logs, record, time_ms, log_tags);
      } else {
        ++payload.skipped;
      }
    }
  }
  payload.series = series.body();
  if (!payload.logs.empty()) payload.logs += ']';
  return payload;
}

ServiceError read_error(const egress::HttpResponse& response) {
  const json said = json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  const json errors = said.is_object() ? said.value("errors", json()) : json();
  if (!errors.is_array() || errors.empty()) return {};
  const json& first = errors.front();
  // Of metrics strings, of logs objects.
  return {"", first.is_string() ? first.get<std::string>() : text_of(first, "detail")};
}

std::vector<std::string> split_tags(std::string_view text) {
  std::vector<std::string> tags;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    if (!trim(part).empty()) tags.emplace_back(trim(part));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
  }
  return tags;
}

}  // namespace sluice::connectors::datadog
