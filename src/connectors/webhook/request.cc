#include "connectors/webhook/request.h"

#include <fmt/format.h>

#include "base/assert.h"
#include "connectors/common/text.h"
#include "formats/csv.h"
#include "formats/gzip.h"
#include "formats/json_lines.h"

namespace sluice::connectors::webhook {
namespace {

bool sets(const Config& config, std::string_view name) {
  return std::any_of(config.headers.begin(), config.headers.end(),
                     [name](const auto& header) { return same_name(header.first, name); });
}

std::string render(Format format, const RecordBatch& batch) {
  formats::Csv csv;
  std::string text;
  std::optional<Kind> header;
  for (const RecordRun& run : batch.runs) {
    const Kind kind = run.chunk->kind;
    if (format == Format::Csv && header != kind) text += formats::Csv::header(kind);
    header = kind;
    for (std::uint32_t i = run.begin; i < run.end; ++i) {
      const std::string_view record = run.chunk->record(i);
      if (format == Format::Csv) {
        csv.append(text, kind, record);
      } else {
        formats::append_json_line(text, record);
      }
    }
  }
  return text;
}

// As a bare object where requests have one record each, else as an array.
std::vector<std::string_view> records_of(const Config& config, const RecordBatch& batch) {
  if (config.size == 1) {
    SLUICE_ASSERT(batch.runs.size() == 1 && batch.runs.front().count() == 1);
    return {batch.runs.front().joined()};
  }
  std::vector<std::string_view> parts;
  parts.reserve(2 * batch.runs.size() + 1);
  for (const RecordRun& run : batch.runs) {
    parts.push_back(parts.empty() ? "[" : ",");
    parts.push_back(run.joined());
  }
  parts.push_back("]");
  return parts;
}

std::string_view content_type(Format format) {
  switch (format) {
    case Format::Json: return "application/json";
    case Format::JsonLines: return "application/x-ndjson";
    case Format::Csv: return "text/csv; charset=utf-8";
  }
  return "";
}

}  // namespace

RenderedBody render_body(const Config& config, const RecordBatch& batch) {
  RenderedBody body;
  if (config.format != Format::Json) {
    body.bytes = render(config.format, batch);
  } else if (config.gzip) {
    for (const std::string_view part : records_of(config, batch)) body.bytes += part;
  }
  if (config.gzip) {
    formats::Gzip gzip;
    gzip.append(body.bytes, body.packed);
    gzip.finish(body.packed);
  }
  return body;
}

egress::HttpRequest build_request(const Config& config, const RecordBatch& batch, WallTime now,
                                  std::string_view installation, const RenderedBody& rendered) {
  SLUICE_ASSERT(!batch.runs.empty());
  egress::HttpRequest request;
  request.organisation = batch.organisation;
  request.method = config.method;
  request.url = config.url;

  auto& headers = request.headers;
  if (!sets(config, "Content-Type")) {
    headers.emplace_back("Content-Type", content_type(config.format));
  }
  if (!sets(config, "User-Agent")) headers.emplace_back("User-Agent", "Sluice/" SLUICE_VERSION);
  headers.emplace_back("webhook-id", batch.webhook_id);
  headers.emplace_back("webhook-timestamp", std::to_string(now.ms / 1000));
  headers.emplace_back("X-Sluice-Stream", std::to_string(batch.stream.value()));
  headers.emplace_back("X-Sluice-Offsets",
                       fmt::format("{}-{}", batch.first.value(), batch.last.value()));
  if (batch.replay.has_value()) {
    headers.emplace_back("X-Sluice-Replay", std::to_string(batch.replay->value()));
  }
  if (batch.previous.has_value()) {
    headers.emplace_back("X-Sluice-Previous", std::to_string(batch.previous->value()));
  }
  headers.emplace_back("X-Sluice-Attempt", std::to_string(batch.attempt));
  headers.emplace_back("X-Sluice-Hops", fmt::format("{}:1", installation));
  if (batch.test) headers.emplace_back("X-Sluice-Test", "true");
  headers.insert(headers.end(), config.headers.begin(), config.headers.end());

  if (!rendered.packed.empty()) {
    headers.emplace_back("Content-Encoding", "gzip");
    request.body.push_back(rendered.packed);
  } else if (!rendered.bytes.empty()) {
    request.body.push_back(rendered.bytes);
  } else {
    request.body = records_of(config, batch);
  }
  return request;
}

}  // namespace sluice::connectors::webhook
