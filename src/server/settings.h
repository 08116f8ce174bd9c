#pragma once
// The server's settings: a TOML file, each also SLUICE_SECTION_NAME in the environment. The one
// table of them is in settings.cc: names, defaults, bounds and the line of explanation.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/issuers.h"
#include "base/metrics.h"
#include "base/result.h"
#include "http/server.h"
#include "server/source_settings.h"

namespace sluice::server {

struct Settings {
  // [server]
  std::string listen = "127.0.0.1:8080";
  std::string data_dir = "sluice-data";
  bool insecure = false;
  std::string tls_cert;
  std::string tls_key;
  std::string public_url;
  std::vector<std::string> trusted_proxies;
  std::string admin_listen;
  std::uint64_t io_threads = 0;

  // [limits]
  std::uint64_t body_bytes_max = 64ull << 20;
  std::uint64_t record_bytes_max = 1ull << 20;
  std::uint64_t body_bytes_in_memory_max = 256ull << 20;
  std::uint64_t header_bytes_max = 32ull << 10;
  std::uint64_t connections_max = 10'000;
  std::uint64_t idempotency_keys_max = 1'000'000;
  std::uint64_t data_bytes_max = 0;  // of the record log; 0: 90 % of the disk
  std::uint64_t reserve_bytes = 64ull << 20;
  std::uint64_t ingest_records_per_s = 0;
  std::uint64_t ingest_bytes_per_s = 0;
  std::uint64_t quarantine_bytes_max = 1ull << 30;
  std::uint64_t streams_max = 10;
  std::uint64_t bytes_in_flight_max = 256ull << 20;
  std::uint64_t stream_bytes_in_flight_max = 16ull << 20;
  std::uint64_t dead_letters_max = 10'000;
  std::uint64_t dead_letter_bytes_max = 100ull << 20;
  std::uint64_t attempts_per_stream_max = 1000;
  std::uint64_t attempts_queue_bytes_max = 32ull << 20;
  std::uint64_t attempts_bytes_max = 1ull << 30;
  std::uint64_t scans_max = 1;
  std::uint64_t scan_ms_max = 2000;
  std::uint64_t live_connections_max = 5;
  std::uint64_t live_bytes_behind_max = 1ull << 20;
  std::uint64_t application_tokens_max = 100;
  std::uint64_t login_tries_max = 100;

  // [recordlog]
  std::uint64_t segment_bytes = 128ull << 20;
  std::uint64_t retention_days = 20;

  // [ingest]
  bool redact_tokens = true;
  std::uint64_t idempotency_s = 24 * 3600;

  // [egress]
  std::vector<std::string> allow;
  std::string proxy;
  std::string ca_file;
  std::string dns_servers;
  std::uint64_t connections_per_host_max = 20;
  std::uint64_t egress_connections_max = 2000;

  // [aws]: the installation's own keys, by which it assumes roles. No id: those of the
  // environment's AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.
  std::string aws_access_key_id;
  std::string aws_secret_access_key;
  std::string aws_session_token;
  std::string aws_sts_endpoint_url;

  // [secrets]
  std::string secrets_key_file;  // "": see secrets_key_path()

  // [[issuers]], in the file alone
  std::vector<api::IssuerSettings> issuers;

  // [source.kafka], in the file alone
  std::optional<KafkaSourceSettings> kafka_source;

  // [logging]
  std::string level = "info";
};

// Reads `file` (nullopt: none), then the environment over it. InvalidArgument: one sentence that
// names the setting, what is wrong and what would be right. Does not check what only the combined
// settings can tell: see check().
Result<Settings> load_settings(const std::optional<std::string>& file);

// Variables of the environment that begin with SLUICE_ and mean nothing to Sluice. Somebody else's,
// perhaps (Kubernetes makes SLUICE_SERVICE_HOST for a service named sluice), or mistyped.
std::vector<std::string> foreign_environment();

// What makes no sense together or cannot work: a listener open to the world without TLS or
// `insecure`, an unreadable certificate, a record larger than a body, an egress exception that is
// no network, an issuer whose key file cannot be used. InvalidArgument: one sentence that names the
// setting.
Result<void> check(const Settings& settings);

// All settings with their defaults and a line of explanation each: TOML that load_settings() takes.
std::string settings_text();

// Each limit as it is set, for those who watch how near it the server comes.
void show_limits(const Settings& settings, Metrics& metrics);

// For the listener. `settings` has passed check().
http::Settings http_settings(const Settings& settings);

// True for addresses in 127.0.0.0/8, ::1 and localhost.
bool is_loopback(const std::string& listen);

}  // namespace sluice::server
