#pragma once
// The REST API: who may call what, and the data_stream calls. Records go on to Ingest.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "api/application_tokens.h"
#include "api/token.h"
#include "base/clock.h"
#include "base/io_threads.h"
#include "base/metrics.h"
#include "base/worker_pool.h"
#include "catalog/attempts.h"
#include "catalog/catalog.h"
#include "catalog/dead_letters.h"
#include "catalog/quarantine.h"
#include "catalog/registry.h"
#include "catalog/replays.h"
#include "connectors/connector.h"
#include "dispatch/dispatch.h"
#include "http/server.h"
#include "ingest/ingest.h"
#include "recordlog/recordlog.h"

namespace sluice::api {

// Who may read /metrics: whoever reaches the listener, as it is loopback; operators; or whoever
// reaches the admin's listener, and on the main one it does not exist.
enum class MetricsAt : std::uint8_t { Everyone, Operators, AdminListener };

struct Settings {
  MetricsAt metrics = MetricsAt::Everyone;
  std::string public_url = {};  // before the paths in answers; "": paths alone
  std::uint64_t record_body_bytes_max = 64 << 20;
  std::uint64_t api_body_bytes_max = 1 << 20;
  std::uint32_t check_timeout_ms = 10'000;  // a destination's check before a stream is made
  std::size_t streams_max = catalog::Catalog::kStreamsPerOrganisationMax;  // of an organisation
  std::size_t scans_max = 1;               // searches through records an organisation at a time
  std::uint32_t scan_ms_max = 2000;        // of one; then it says how far it came
  std::uint32_t live_connections_max = 5;  // of an organisation
  std::uint64_t live_bytes_behind_max = 1 << 20;     // then a live connection gets a gap
  std::size_t login_tries_max = 100;                 // from one address in 5 minutes
  std::int64_t historic_ms_max = 20 * 86'400'000ll;  // how far stream_historic_data reaches back
};

struct Dependencies {  // all outlive the Api
  IoThreads& threads;
  const Clock& clock;
  catalog::Catalog& catalog;
  catalog::Registry& registry;
  ApplicationTokens& application_tokens;
  WorkerPool& catalog_pool;
  dispatch::Dispatch& dispatch;
  recordlog::RecordLog& log;
  ingest::Ingest& ingest;
  Metrics& metrics;
  const std::vector<const connectors::ConnectorDescriptor*>& connectors;
  const std::vector<connectors::ConnectorContext>& connector_contexts;  // one per I/O thread
  catalog::Quarantine& quarantine;
  catalog::DeadLetters& dead_letters;
  catalog::Replays& replays;
  catalog::AttemptLog& attempts;
};

// Destroy it after the listener has stopped and before the loops are gone.
class Api final : public http::Handler {
 public:
  Api(Settings settings, Dependencies dependencies, const TokenKey& key,
      std::vector<Issuer> issuers = {});
  ~Api() override;

  // Whose tokens count from now on. Threads: any.
  void set_issuers(std::vector<Issuer> issuers);

  std::variant<TakeBody, http::Response> on_head(const http::RequestHead& head) override;
  void on_request(const http::RequestHead& head, http::Body body,
                  http::Responder responder) override;
  http::Response refusal(int status, std::string_view detail) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::api
