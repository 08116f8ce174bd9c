#include "connectors/webhook/request.h"

#include <fmt/format.h>

#include "base/assert.h"
#include "connectors/common/text.h"

namespace sluice::connectors::webhook {
namespace {

bool sets(const Config& config, std::string_view name) {
  return std::any_of(config.headers.begin(), config.headers.end(),
                     [name](const auto& header) { return same_name(header.first, name); });
}

}  // namespace

egress::HttpRequest build_request(const Config& config, const RecordBatch& batch, WallTime now,
                                  std::string_view installation) {
  SLUICE_ASSERT(!batch.runs.empty());
  egress::HttpRequest request;
  request.organisation = batch.organisation;
  request.method = config.method;
  request.url = config.url;

  auto& headers = request.headers;
  if (!sets(config, "Content-Type")) headers.emplace_back("Content-Type", "application/json");
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

  if (config.size == 1) {
    SLUICE_ASSERT(batch.runs.size() == 1 && batch.runs.front().count() == 1);
    request.body.push_back(batch.runs.front().joined());
    return request;
  }
  request.body.reserve(2 * batch.runs.size() + 1);
  for (const RecordRun& run : batch.runs) {
    request.body.push_back(request.body.empty() ? "[" : ",");
    request.body.push_back(run.joined());
  }
  request.body.push_back("]");
  return request;
}

}  // namespace sluice::connectors::webhook
