#include "server/server.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <thread>
#include <vector>

#include "alerts/alert_log.h"
#include "api/api.h"
#include "api/application_tokens.h"
#include "base/clock.h"
#include "base/disk_reserve.h"
#include "base/fs.h"
#include "base/io_threads.h"
#include "base/logging.h"
#include "base/metrics.h"
#include "base/worker_pool.h"
#include "catalog/attempts.h"
#include "catalog/catalog.h"
#include "catalog/dead_letters.h"
#include "catalog/registry.h"
#include "catalog/replays.h"
#include "catalog/reserve_vfs.h"
#include "catalog/secret_box.h"
#include "catalog/secrets.h"
#include "catalog/under_way.h"
#include "connectors/common/aws/credentials.h"
#include "connectors/connector.h"
#include "connectors/inspector/store.h"
#include "dispatch/dispatch.h"
#include "egress/http_client.h"
#include "http/server.h"
#include "ingest/ingest.h"
#include "recordlog/local/local_log.h"
#include "server/data_directory.h"
#include "server/kafka_source.h"
#include "signing/issuer.h"

namespace sluice::server {
namespace {

constexpr std::uint32_t kRequestsGraceMs = 3000;
constexpr std::uint32_t kDeliveriesGraceMs = 5000;
constexpr std::size_t kCatalogThreads = 2;

std::size_t io_thread_count(const Settings& settings) {
  if (settings.io_threads != 0) return settings.io_threads;
  return std::max(1u, std::thread::hardware_concurrency());
}

logging::Level level(const std::string& name) {
  if (name == "debug") return logging::Level::Debug;
  if (name == "warn") return logging::Level::Warn;
  if (name == "error") return logging::Level::Error;
  return logging::Level::Info;
}

// Of one I/O thread's client. Streams lie evenly on the threads, so each has its part of all
// connections; of an organisation's to one host there are too few to share out.
egress::Settings egress_settings(const Settings& settings, std::size_t threads) {
  egress::Settings egress;
  egress.allow = settings.allow;
  egress.proxy = settings.proxy;
  egress.ca_file = settings.ca_file;
  egress.dns_servers = settings.dns_servers;
  egress.connections_per_host_max = static_cast<std::uint32_t>(settings.connections_per_host_max);
  egress.connections_max = static_cast<std::uint32_t>(
      std::max<std::uint64_t>(1, settings.egress_connections_max / threads));
  return egress;
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

connectors::aws::Operator aws_operator(const Settings& settings) {
  connectors::aws::Operator aws{.keys = {settings.aws_access_key_id, settings.aws_secret_access_key,
                                         settings.aws_session_token},
                                .sts_endpoint_url = settings.aws_sts_endpoint_url};
  if (aws.keys.access_key_id.empty()) {
    aws.keys = {environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY"),
                environment("AWS_SESSION_TOKEN")};
  }
  return aws;
}

api::MetricsAt metrics_at(const Settings& settings) {
  if (!settings.admin_listen.empty()) return api::MetricsAt::AdminListener;
  return is_loopback(settings.listen) ? api::MetricsAt::Everyone : api::MetricsAt::Operators;
}

std::uint64_t log_bytes_max(const Settings& settings) {
  if (settings.data_bytes_max != 0) return settings.data_bytes_max;
  std::error_code fault;
  const std::filesystem::space_info disk = std::filesystem::space(settings.data_dir, fault);
  return fault ? 0 : disk.capacity / 10 * 9;
}

// Streams that keep no cursor need nothing.
std::optional<recordlog::LowestCursors> lowest_cursors(catalog::Catalog& catalog,
                                                       const dispatch::Dispatch& dispatch) {
  const auto streams = catalog.all_streams();
  if (!streams) return std::nullopt;
  recordlog::LowestCursors lowest;
  for (const catalog::Stream& stream : *streams) {
    if (stream.replaced_by) continue;
    const auto snapshot = dispatch.snapshot(stream.id);
    if (snapshot && snapshot->status == catalog::StreamStatus::Disabled) continue;
    const Offset cursor = snapshot ? snapshot->next_offset : stream.start;
    const auto [found, added] = lowest.try_emplace(stream.organisation, cursor);
    found->second = std::min(found->second, cursor);
  }
  return lowest;
}

}  // namespace

// In the order of construction; taken down from the end.
struct Server::Graph {
  explicit Graph(std::size_t io_threads) : threads(io_threads) {}
  ~Graph() {
    if (log) log->set_lowest_cursors(nullptr);  // dispatch goes before the log
  }

  std::unique_ptr<DataDirectory> data_directory;
  SystemClock clock;
  Metrics metrics;
  IoThreads threads;
  std::unique_ptr<DiskReserve> reserve;
  std::unique_ptr<FileSystem> files;  // that draw on it
  std::unique_ptr<catalog::ReserveVfs> catalog_files;
  std::unique_ptr<catalog::Catalog> catalog;
  std::unique_ptr<catalog::Registry> registry;
  std::unique_ptr<catalog::SecretBox> secrets;
  std::unique_ptr<signing::Issuer> issuer;
  std::unique_ptr<WorkerPool> catalog_pool;
  std::unique_ptr<catalog::Quarantine> quarantine;
  std::unique_ptr<catalog::DeadLetters> dead_letters;
  std::unique_ptr<catalog::Replays> replays;
  std::unique_ptr<catalog::AttemptLog> attempts;
  std::unique_ptr<recordlog::LocalLog> log;
  std::unique_ptr<alerts::AlertLog> alerts;
  connectors::inspector::Store inspector{metrics};
  connectors::aws::Operator aws;
  std::vector<std::unique_ptr<egress::HttpClient>> http_clients;  // one an I/O thread
  std::vector<connectors::ConnectorContext> connector_contexts;   // likewise
  std::unique_ptr<dispatch::Dispatch> dispatch;
  std::unique_ptr<ingest::Ingest> ingest;
  std::unique_ptr<KafkaSource> kafka_source;  // may be null
  std::unique_ptr<api::ApplicationTokens> application_tokens;
  std::unique_ptr<api::Api> api;
  std::unique_ptr<http::Server> http;

  Result<void> open_storage(const Settings& settings);
  Result<void> open_delivery(const Settings& settings);
  Result<void> open_front(const Settings& settings);
};

Result<void> Server::Graph::open_storage(const Settings& settings) {
  auto opened_directory = DataDirectory::open(settings.data_dir);
  if (!opened_directory) return opened_directory.error();
  data_directory = std::move(*opened_directory);

  reserve =
      std::make_unique<DiskReserve>(posix_file_system(),
                                    DiskReserve::Options{.path = reserve_path(settings.data_dir),
                                                         .bytes = settings.reserve_bytes},
                                    metrics);
  files = std::make_unique<FileSystemWithReserve>(posix_file_system(), *reserve);
  catalog_files = std::make_unique<catalog::ReserveVfs>(*reserve);

  auto opened_secrets =
      catalog::open_secrets(catalog_path(settings.data_dir), secrets_key_path(settings));
  if (!opened_secrets) return opened_secrets.error();
  secrets = std::make_unique<catalog::SecretBox>(*opened_secrets);
  auto opened_catalog =
      catalog::open_sqlite(catalog_path(settings.data_dir), *secrets, settings.streams_max);
  if (!opened_catalog) return opened_catalog.error();
  catalog = std::move(*opened_catalog);
  auto opened_registry = catalog::open_sqlite_registry(catalog_path(settings.data_dir));
  if (!opened_registry) return opened_registry.error();
  registry = std::move(*opened_registry);
  catalog_pool = std::make_unique<WorkerPool>("catalog", kCatalogThreads);

  const auto key = catalog::server_secret(catalog_path(settings.data_dir), *secrets, "signing_key",
                                          &signing::Issuer::generate);
  if (!key) return key.error();
  auto read_issuer = signing::Issuer::from_pem(*key);
  if (!read_issuer) return read_issuer.error();
  issuer = std::make_unique<signing::Issuer>(*std::move(read_issuer));

  auto opened_quarantine = catalog::open_quarantine(quarantine_path(settings.data_dir),
                                                    settings.quarantine_bytes_max, metrics);
  if (!opened_quarantine) return opened_quarantine.error();
  quarantine = std::move(*opened_quarantine);
  auto opened_letters = catalog::open_dead_letters(
      dead_letters_path(settings.data_dir),
      {.count_max = settings.dead_letters_max, .bytes_max = settings.dead_letter_bytes_max},
      metrics);
  if (!opened_letters) return opened_letters.error();
  dead_letters = std::move(*opened_letters);
  auto opened_replays = catalog::open_sqlite_replays(catalog_path(settings.data_dir));
  if (!opened_replays) return opened_replays.error();
  replays = std::move(*opened_replays);

  recordlog::LocalSettings log_settings;
  log_settings.directory = log_directory(settings.data_dir);
  log_settings.segment_bytes = settings.segment_bytes;
  log_settings.retention_s = static_cast<std::int64_t>(settings.retention_days) * 24 * 3600;
  log_settings.bytes_max = log_bytes_max(settings);
  log_settings.request_keys_max = settings.idempotency_keys_max;
  log_settings.request_keys_kept_s = static_cast<std::int64_t>(settings.idempotency_s);
  auto opened_log = recordlog::open_local(log_settings, {*files, clock, metrics, reserve.get()});
  if (!opened_log) return opened_log.error();
  log = std::move(*opened_log);
  return {};
}

Result<void> Server::Graph::open_delivery(const Settings& settings) {
  aws = aws_operator(settings);
  for (std::size_t i = 0; i < threads.size(); ++i) {
    http_clients.push_back(std::make_unique<egress::HttpClient>(
        threads.loop(i), clock, egress_settings(settings, threads.size()), &metrics));
    connector_contexts.push_back({*http_clients.back(), clock, data_directory->installation(),
                                  &inspector, issuer.get(), &aws});
  }
  const auto found = catalog::find_under_way(*catalog, *replays, *dead_letters);
  if (!found) return found.error();
  std::vector<StreamId> ids;
  for (const catalog::Stream& stream : found->streams) ids.push_back(stream.id);
  attempts = catalog::open_attempts(
      {.path = attempts_path(settings.data_dir),
       .queue_bytes_max = settings.attempts_queue_bytes_max,
       .attempts_max = static_cast<std::uint32_t>(settings.attempts_per_stream_max),
       .bytes_max = settings.attempts_bytes_max},
      ids, metrics);

  alerts = std::make_unique<alerts::AlertLog>(
      alerts::AlertLog::Dependencies{threads, clock, *log, *catalog, *catalog_pool, metrics});
  dispatch::Settings dispatch_settings;
  dispatch_settings.journal_directory = journal_directory(settings.data_dir);
  dispatch_settings.memory_bytes_max = static_cast<std::int64_t>(settings.bytes_in_flight_max);
  dispatch_settings.stream_memory_bytes_max = settings.stream_bytes_in_flight_max;
  dispatch_settings.retention = std::chrono::hours(24 * settings.retention_days);
  auto opened = dispatch::Dispatch::open(
      dispatch_settings,
      {threads, *files, clock, *log, *catalog, *dead_letters, *replays, *catalog_pool, metrics,
       connector_contexts, &connectors::find_connector, attempts.get(), alerts.get()});
  if (!opened) return opened.error();
  dispatch = std::move(*opened);

  for (const catalog::Stream& stream : found->streams) {
    const auto replay = found->replays.find(stream.id);
    dispatch->add(stream,
                  replay == found->replays.end() ? std::nullopt : std::optional(replay->second));
  }
  log->set_lowest_cursors([this] { return lowest_cursors(*catalog, *dispatch); });
  return {};
}

Result<void> Server::Graph::open_front(const Settings& settings) {
  const std::string& installation = data_directory->installation();
  auto opened =
      ingest::Ingest::open({.body_bytes_max = settings.body_bytes_max,
                            .record_bytes_max = settings.record_bytes_max,
                            .redact_tokens = settings.redact_tokens,
                            .installation = installation,
                            .rates = {.records_per_s = settings.ingest_records_per_s,
                                      .bytes_per_s = settings.ingest_bytes_per_s}},
                           {threads, *log, *catalog, *catalog_pool, metrics, *quarantine, clock});
  if (!opened) return opened.error();
  ingest = std::move(*opened);
  if (settings.kafka_source) {
    egress::Settings egress = egress_settings(settings, threads.size());
    egress.allow = {"0.0.0.0/0", "::/0"};  // the operator's own cluster
    kafka_source = std::make_unique<KafkaSource>(
        *settings.kafka_source, "sluice-" + installation, std::move(egress),
        KafkaSource::Dependencies{threads, *ingest, clock, metrics});
  }

  application_tokens = std::make_unique<api::ApplicationTokens>(
      api::ApplicationTokens::Dependencies{*registry, *secrets, clock, metrics},
      settings.application_tokens_max);
  if (auto loaded = application_tokens->load(); !loaded) return loaded.error();
  const auto key = api::load_or_create_token_key(token_key_path(settings.data_dir));
  if (!key) return key.error();
  auto issuers = api::load_issuers(settings.issuers);
  if (!issuers) return issuers.error();
  api = std::make_unique<api::Api>(
      api::Settings{
          .metrics = metrics_at(settings),
          .public_url = settings.public_url,
          .record_body_bytes_max = settings.body_bytes_max,
          .streams_max = settings.streams_max,
          .scans_max = settings.scans_max,
          .scan_ms_max = static_cast<std::uint32_t>(settings.scan_ms_max),
          .live_connections_max = static_cast<std::uint32_t>(settings.live_connections_max),
          .live_bytes_behind_max = settings.live_bytes_behind_max,
          .login_tries_max = settings.login_tries_max},
      api::Dependencies{threads, clock, *catalog, *registry, *application_tokens, *catalog_pool,
                        *dispatch, *log, *ingest, metrics, connectors::connector_table(),
                        connector_contexts, *quarantine, *dead_letters, *replays, *attempts},
      *key, *std::move(issuers));

  auto listening = http::Server::listen(http_settings(settings), threads, *api, metrics);
  if (!listening) return listening.error();
  http = std::move(*listening);
  issuer->set_public_url(settings.public_url.empty() ? http->url() : settings.public_url);
  return {};
}

Result<std::unique_ptr<Server>> Server::start(const Settings& settings) {
  logging::set_level(level(settings.level));
  auto graph = std::make_unique<Graph>(io_thread_count(settings));
  show_limits(settings, graph->metrics);
  if (auto done = graph->open_storage(settings); !done) return done.error();
  if (auto done = graph->open_delivery(settings); !done) return done.error();
  if (auto done = graph->open_front(settings); !done) return done.error();
  graph->threads.start();
  if (graph->kafka_source) {
    if (auto done = graph->kafka_source->start(); !done) {
      graph->threads.stop_and_join();
      return done.error();
    }
  }
  logging::info("listening", {{"url", graph->http->url()},
                              {"admin_url", graph->http->admin_url()},
                              {"data_dir", settings.data_dir},
                              {"version", SLUICE_VERSION}});
  return std::unique_ptr<Server>(new Server(std::move(graph)));
}

Server::Server(std::unique_ptr<Graph> graph) : graph_(std::move(graph)) {}

Server::~Server() {
  if (graph_->kafka_source) graph_->kafka_source->stop();
  graph_->http->stop(kRequestsGraceMs);
  graph_->dispatch->stop(kDeliveriesGraceMs);
  graph_->threads.stop_and_join();
}

std::string Server::url() const { return graph_->http->url(); }
std::string Server::admin_url() const { return graph_->http->admin_url(); }

void Server::reload_certificate() {
  auto done = graph_->http->reload_tls();
  if (done) return logging::info("the certificate has been read again");
  if (done.error().code == ErrorCode::NotFound) return;  // there is none
  logging::warn("the certificate was not read again, what was in use stays",
                {{"reason", done.error().message}});
}

void Server::reload_issuers(const std::vector<api::IssuerSettings>& issuers) {
  auto loaded = api::load_issuers(issuers);
  if (!loaded) {
    return logging::warn("the issuers were not read again, those in use stay",
                         {{"reason", loaded.error().message}});
  }
  logging::info("the issuers have been read again", {{"issuers", loaded->size()}});
  graph_->api->set_issuers(*std::move(loaded));
}

}  // namespace sluice::server
