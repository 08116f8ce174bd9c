#include "server/settings.h"

#include <fmt/format.h>
#include <unistd.h>

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <sstream>
#include <type_traits>
#include <variant>

#include "base/units.h"
#include "egress/http_client.h"
#include "http/address.h"
#include "http/tls_context.h"
#include "recordlog/local/local_log.h"

namespace sluice::server {
namespace {

using Member = std::variant<std::string Settings::*, bool Settings::*, std::uint64_t Settings::*,
                            std::vector<std::string> Settings::*>;

struct Setting {
  std::string_view section;
  std::string_view name;
  Member member;
  std::string_view help;
  std::uint64_t min = 0;  // integers only
  std::uint64_t max = UINT64_MAX;
};

const std::array kSettings = {
    Setting{"server", "listen", &Settings::listen,
            "Address of API and ingest: an IP address or localhost, and a port (0: a free one)"},
    Setting{"server", "data_dir", &Settings::data_dir,
            "Where everything is kept; one server a directory"},
    Setting{"server", "insecure", &Settings::insecure,
            "Allow listeners without TLS beyond loopback: only behind a proxy that does TLS"},
    Setting{"server", "tls_cert", &Settings::tls_cert,
            "PEM file: the certificate, then those between it and a root; SIGHUP reads it again"},
    Setting{"server", "tls_key", &Settings::tls_key,
            "PEM file: the certificate's private key, without a passphrase"},
    Setting{
        "server", "public_url", &Settings::public_url,
        "Under which clients reach this server, if not under its address: for links in answers"},
    Setting{"server", "trusted_proxies", &Settings::trusted_proxies,
            "Networks of the proxies before this server, whose X-Forwarded-For names the client"},
    Setting{"server", "admin_listen", &Settings::admin_listen,
            "A second listener, without TLS or tokens, for /metrics, which then is nowhere else"},
    Setting{"server", "io_threads", &Settings::io_threads, "0: one a core", 0, 256},
    Setting{"limits", "body_bytes_max", &Settings::body_bytes_max,
            "Largest request body; larger: 413", kKiB, kGiB},
    Setting{"limits", "record_bytes_max", &Settings::record_bytes_max,
            "Largest record; larger: 413", kKiB, 16 * kMiB},
    Setting{"limits", "body_bytes_in_memory_max", &Settings::body_bytes_in_memory_max,
            "Of all requests; beyond, bodies are not read on until there is room", kMiB, 64 * kGiB},
    Setting{"limits", "header_bytes_max", &Settings::header_bytes_max,
            "Longest request header; longer: 431", kKiB, kMiB},
    Setting{"limits", "connections_max", &Settings::connections_max,
            "Clients at a time; more are closed at once and counted", 1, 1'000'000},
    Setting{"limits", "streams_max", &Settings::streams_max, "Of an organisation; beyond: 422", 1,
            10'000},
    Setting{"limits", "bytes_in_flight_max", &Settings::bytes_in_flight_max,
            "Of records on their way that all streams hold in memory; beyond, they wait", 32 * kMiB,
            64 * kGiB},
    Setting{"limits", "stream_bytes_in_flight_max", &Settings::stream_bytes_in_flight_max,
            "Likewise of one stream; a single batch (a file for S3) may take more", kMiB, kGiB},
    Setting{"limits", "dead_letters_max", &Settings::dead_letters_max,
            "Kept of a stream; beyond, it goes to Error", 1, 10'000'000},
    Setting{"limits", "dead_letter_bytes_max", &Settings::dead_letter_bytes_max,
            "Likewise, of their records", kMiB, 64 * kGiB},
    Setting{"limits", "scans_max", &Settings::scans_max,
            "Searches through records (browse, preview, dry runs) at a time of an organisation; "
            "beyond: 429",
            1, 64},
    Setting{"limits", "scan_ms_max", &Settings::scan_ms_max,
            "Milliseconds; a search through records (browse, preview) then says how far it came", 0,
            60'000},
    Setting{"limits", "live_connections_max", &Settings::live_connections_max,
            "That watch an organisation's records live; beyond: 429", 1, 1000},
    Setting{"limits", "live_bytes_behind_max", &Settings::live_bytes_behind_max,
            "That a live connection has not taken; beyond, it gets a gap event instead of records",
            kKiB, kGiB},
    Setting{"limits", "idempotency_keys_max", &Settings::idempotency_keys_max,
            "About 150 bytes of memory each; beyond, requests with a new Idempotency-Key get 503",
            1, 100'000'000},
    Setting{"limits", "ingest_records_per_s", &Settings::ingest_records_per_s,
            "Of each organisation's bound tokens; beyond: 429. 0: as many as come. Tokens bound to "
            "no organisation are never held up",
            0, 1'000'000'000},
    Setting{"limits", "ingest_bytes_per_s", &Settings::ingest_bytes_per_s,
            "Likewise, of bodies once unpacked", 0, 1024 * kGiB},
    Setting{"limits", "quarantine_bytes_max", &Settings::quarantine_bytes_max,
            "Of invalid records kept; full, on_invalid=skip gets 422", kMiB, 1024 * kGiB},
    Setting{"limits", "attempts_per_stream_max", &Settings::attempts_per_stream_max,
            "Attempts kept of a stream, the newest", 1, 100'000},
    Setting{"limits", "attempts_queue_bytes_max", &Settings::attempts_queue_bytes_max,
            "Of attempts not yet written; full, they are summed up and never waited for", 0,
            16 * kGiB},
    Setting{"limits", "attempts_bytes_max", &Settings::attempts_bytes_max,
            "Of the attempts log's file; beyond, the oldest headers and bodies go", kMiB,
            1024 * kGiB},
    Setting{"limits", "data_bytes_max", &Settings::data_bytes_max,
            "Size of the record log; 0: 90 % of the disk"},
    Setting{"limits", "reserve_bytes", &Settings::reserve_bytes,
            "Disk space held back, so that a full disk stops ingest but no stream", kMiB,
            1024 * kGiB},
    Setting{"limits", "application_tokens_max", &Settings::application_tokens_max,
            "Of an organisation; beyond: 422", 1, 10'000},
    Setting{"limits", "login_tries_max", &Settings::login_tries_max,
            "From one address (IPv6: one /64) in 5 minutes, wrong or right; beyond: 429", 1,
            1'000'000},
    Setting{"recordlog", "segment_bytes", &Settings::segment_bytes,
            "Size at which a new segment file begins", kMiB, 256 * kMiB},
    Setting{"recordlog", "retention_days", &Settings::retention_days,
            "Whole segments go when their newest record is older", 1, 3650},
    Setting{"ingest", "redact_tokens", &Settings::redact_tokens,
            "Cross out the activation tokens in events 36, 37 and 40"},
    Setting{"ingest", "idempotency_s", &Settings::idempotency_s,
            "How long an Idempotency-Key is remembered, also through restarts", 60, 30 * 24 * 3600},
    Setting{"egress", "allow", &Settings::allow,
            "Networks, addresses or host:port that deliveries may reach against the address rules"},
    Setting{"egress", "proxy", &Settings::proxy,
            "URL of a proxy for all deliveries; the environment's proxy variables are never read"},
    Setting{"egress", "ca_file", &Settings::ca_file,
            "PEM file of certificate authorities, instead of the system's"},
    Setting{"egress", "dns_servers", &Settings::dns_servers,
            "Whom to ask for the names of destinations, \"address:port,...\"; empty: the system's"},
    Setting{"egress", "connections_per_host_max", &Settings::connections_per_host_max,
            "Of an organisation to a host, for each I/O thread", 1, 10'000},
    Setting{"egress", "connections_max", &Settings::egress_connections_max,
            "Of all deliveries; each I/O thread has its part", 1, 100'000},
    Setting{"aws", "access_key_id", &Settings::aws_access_key_id,
            "Of this server's own AWS keys, which assume the streams' roles; empty: those of the "
            "environment's AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"},
    Setting{"aws", "secret_access_key", &Settings::aws_secret_access_key,
            "The secret of that access key"},
    Setting{"aws", "session_token", &Settings::aws_session_token,
            "Where these are keys of a session: its token"},
    Setting{"aws", "sts_endpoint_url", &Settings::aws_sts_endpoint_url,
            "Where roles are assumed; empty: AWS STS in the stream's region"},
    Setting{"secrets", "key_file", &Settings::secrets_key_file,
            "32 random bytes, made at the first start, that open the stored secrets; empty: "
            "<data_dir>.secrets.key"},
    Setting{"logging", "level", &Settings::level, "debug, info, warn or error"},
};

std::string full_name(const Setting& setting) {
  return fmt::format("{}.{}", setting.section, setting.name);
}

Error bad(const Setting& setting, std::string_view wanted) {
  return {ErrorCode::InvalidArgument,
          fmt::format("setting {} must be {}", full_name(setting), wanted)};
}

Result<void> store(Settings& settings, const Setting& setting, std::uint64_t value) {
  if (value < setting.min || value > setting.max) {
    return bad(setting, fmt::format("from {} to {}, not {}", setting.min, setting.max, value));
  }
  settings.*std::get<std::uint64_t Settings::*>(setting.member) = value;
  return {};
}

Result<void> store_toml(Settings& settings, const Setting& setting, const toml::node& node) {
  if (const auto* text = std::get_if<std::string Settings::*>(&setting.member)) {
    if (!node.is_string()) return bad(setting, "a string");
    settings.** text = node.as_string()->get();
  } else if (const auto* flag = std::get_if<bool Settings::*>(&setting.member)) {
    if (!node.is_boolean()) return bad(setting, "true or false");
    settings.** flag = node.as_boolean()->get();
  } else if (std::holds_alternative<std::uint64_t Settings::*>(setting.member)) {
    if (!node.is_integer() || node.as_integer()->get() < 0) {
      return bad(setting, "a whole number, zero or more");
    }
    return store(settings, setting, static_cast<std::uint64_t>(node.as_integer()->get()));
  } else {
    const toml::array* array = node.as_array();
    if (array == nullptr || !std::all_of(array->begin(), array->end(),
                                         [](const toml::node& item) { return item.is_string(); })) {
      return bad(setting, "a list of strings");
    }
    auto& list = settings.*std::get<std::vector<std::string> Settings::*>(setting.member);
    list.clear();
    for (const toml::node& item : *array) list.push_back(item.as_string()->get());
  }
  return {};
}

Result<void> store_text(Settings& settings, const Setting& setting, std::string_view value) {
  if (const auto* text = std::get_if<std::string Settings::*>(&setting.member)) {
    settings.** text = value;
  } else if (const auto* flag = std::get_if<bool Settings::*>(&setting.member)) {
    if (value != "true" && value != "false") return bad(setting, "true or false");
    settings.** flag = value == "true";
  } else if (std::holds_alternative<std::uint64_t Settings::*>(setting.member)) {
    std::uint64_t number = 0;
    const auto [end, fault] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (fault != std::errc{} || end != value.data() + value.size()) {
      return bad(setting, "a whole number, zero or more");
    }
    return store(settings, setting, number);
  } else {
    auto& list = settings.*std::get<std::vector<std::string> Settings::*>(setting.member);
    list.clear();
    std::istringstream items{std::string(value)};
    for (std::string item; std::getline(items, item, ',');) {
      if (!item.empty()) list.push_back(item);
    }
  }
  return {};
}

const Setting* find(std::string_view section, std::string_view name) {
  const auto found = std::find_if(kSettings.begin(), kSettings.end(), [&](const Setting& setting) {
    return setting.section == section && setting.name == name;
  });
  return found == kSettings.end() ? nullptr : &*found;
}

Error bad_issuer(std::string_view name, std::string_view wanted) {
  return {ErrorCode::InvalidArgument, fmt::format("setting issuers.{} must be {}", name, wanted)};
}

Result<std::vector<OrganisationId>> organisations_of(const toml::node& node) {
  const Error wrong = bad_issuer("organisations", "a list of organisation ids");
  const toml::array* array = node.as_array();
  if (array == nullptr || array->empty()) return wrong;
  std::vector<OrganisationId> organisations;
  for (const toml::node& item : *array) {
    if (!item.is_integer() || item.as_integer()->get() < 0) return wrong;
    organisations.emplace_back(static_cast<std::uint64_t>(item.as_integer()->get()));
  }
  return organisations;
}

Result<api::IssuerSettings> issuer_of(const toml::table& table) {
  constexpr std::array<std::pair<std::string_view, std::string api::IssuerSettings::*>, 4> kTexts =
      {{{"iss", &api::IssuerSettings::iss},
        {"key_file", &api::IssuerSettings::key_file},
        {"jwks_file", &api::IssuerSettings::jwks_file},
        {"audience", &api::IssuerSettings::audience}}};
  api::IssuerSettings issuer;
  for (const auto& [key, node] : table) {
    const std::string_view name = key.str();
    const auto* const text = std::find_if(kTexts.begin(), kTexts.end(),
                                          [name](const auto& t) { return t.first == name; });
    if (text != kTexts.end()) {
      if (!node.is_string() || node.as_string()->get().empty()) return bad_issuer(name, "a text");
      issuer.*(text->second) = node.as_string()->get();
    } else if (name == "max_role") {
      const auto role = node.is_string() ? role_from_name(node.as_string()->get()) : std::nullopt;
      if (!role) return bad_issuer(name, "operator, admin, developer, viewer or ingest");
      issuer.role_max = *role;
    } else if (name == "organisations") {
      auto organisations = organisations_of(node);
      if (!organisations) return organisations.error();
      issuer.organisations = *std::move(organisations);
    } else {
      return Error{ErrorCode::InvalidArgument, fmt::format("unknown setting issuers.{}", name)};
    }
  }
  return issuer;
}

// The tables of [[issuers]].
Result<void> read_issuers(Settings& settings, const toml::node& node) {
  const toml::array* tables = node.as_array();
  const auto is_table = [](const toml::node& item) { return item.is_table(); };
  if (tables == nullptr || !std::all_of(tables->begin(), tables->end(), is_table)) {
    return Error{ErrorCode::InvalidArgument, "setting issuers must be tables: [[issuers]]"};
  }
  for (const toml::node& item : *tables) {
    auto issuer = issuer_of(*item.as_table());
    if (!issuer) return issuer.error();
    settings.issuers.push_back(*std::move(issuer));
  }
  return {};
}

// The table [source.kafka].
Result<void> read_source(Settings& settings, const toml::node& node) {
  const toml::table* sources = node.as_table();
  const toml::node* kafka = sources == nullptr ? nullptr : sources->get("kafka");
  if (kafka == nullptr || !kafka->is_table() || sources->size() != 1) {
    return Error{ErrorCode::InvalidArgument,
                 "setting source must be the table [source.kafka]: there are no other sources"};
  }
  auto read = read_kafka_source(*kafka->as_table());
  if (!read) return read.error();
  settings.kafka_source = *std::move(read);
  return {};
}

Result<void> read_file(Settings& settings, const std::string& file) {
  toml::table table;
  try {
    table = toml::parse_file(file);
  } catch (const toml::parse_error& fault) {
    return Error{ErrorCode::InvalidArgument,
                 fmt::format("cannot read the settings file {}: {} (line {})", file,
                             fault.description(), fault.source().begin.line)};
  }
  for (const auto& [section, node] : table) {
    if (section.str() == "issuers") {
      if (auto read = read_issuers(settings, node); !read) return read;
      continue;
    }
    if (section.str() == "source") {
      if (auto read = read_source(settings, node); !read) return read;
      continue;
    }
    const toml::table* names = node.as_table();
    if (names == nullptr) {
      return Error{ErrorCode::InvalidArgument,
                   fmt::format("unknown setting {} in {}: settings stand in sections, such as "
                               "[server]",
                               section.str(), file)};
    }
    for (const auto& [name, value] : *names) {
      const Setting* setting = find(section.str(), name.str());
      if (setting == nullptr) {
        return Error{ErrorCode::InvalidArgument,
                     fmt::format("unknown setting {}.{} in {}", section.str(), name.str(), file)};
      }
      if (auto stored = store_toml(settings, *setting, value); !stored) return stored;
    }
  }
  return {};
}

std::string environment_name(const Setting& setting) {
  std::string name = fmt::format("SLUICE_{}_{}", setting.section, setting.name);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name;
}

// The setting whose name stands at the end of `name`, in a section that there is not.
const Setting* in_wrong_section(std::string_view name) {
  const auto meant = [name](const Setting& setting) {
    const std::string known = environment_name(setting);
    return name.ends_with(known.substr(known.size() - setting.name.size() - 1));
  };
  const auto* const found = std::find_if(kSettings.begin(), kSettings.end(), meant);
  return found == kSettings.end() ? nullptr : &*found;
}

// A mistyped name must not pass in silence. Others are told of by foreign_environment().
Result<void> refuse_unknown_environment() {
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    const auto in_section = [name](const Setting& setting) {
      const std::string known = environment_name(setting);
      return name.starts_with(known.substr(0, known.size() - setting.name.size()));
    };
    if (name == "SLUICE_ISSUERS" || name.starts_with("SLUICE_ISSUERS_")) {
      return Error{ErrorCode::InvalidArgument,
                   fmt::format("{} is in the environment, but issuers are set in the settings file "
                               "alone, a table [[issuers]] each: unset it",
                               name)};
    }
    if (name.starts_with("SLUICE_SOURCE_")) {
      return Error{ErrorCode::InvalidArgument,
                   fmt::format("{} is in the environment, but sources are set in the settings file "
                               "alone, in the table [source.kafka]: unset it",
                               name)};
    }
    const auto is_it = [name](const Setting& setting) { return environment_name(setting) == name; };
    if (std::any_of(kSettings.begin(), kSettings.end(), in_section) &&
        std::none_of(kSettings.begin(), kSettings.end(), is_it)) {
      return Error{ErrorCode::InvalidArgument,
                   fmt::format("unknown setting {} in the environment", name)};
    }
  }
  for (const std::string& name : foreign_environment()) {
    if (const Setting* const meant = in_wrong_section(name)) {
      return Error{ErrorCode::InvalidArgument,
                   fmt::format("unknown setting {} in the environment: {} is one", name,
                               environment_name(*meant))};
    }
  }
  return {};
}

}  // namespace

Result<Settings> load_settings(const std::optional<std::string>& file) {
  Settings settings;
  if (file) {
    if (auto read = read_file(settings, *file); !read) return read.error();
  }
  if (auto known = refuse_unknown_environment(); !known) return known.error();
  for (const Setting& setting : kSettings) {
    const char* value = std::getenv(environment_name(setting).c_str());
    if (value == nullptr) continue;
    if (auto stored = store_text(settings, setting, value); !stored) {
      Error error = stored.error();
      error.message += fmt::format(" (from the environment's {})", environment_name(setting));
      return error;
    }
  }
  return settings;
}

std::vector<std::string> foreign_environment() {
  constexpr std::array<std::string_view, 2> kOfCommands = {"SLUICE_TOKEN", "SLUICE_URL"};
  std::vector<std::string> names;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    const auto is_it = [name](const Setting& setting) { return environment_name(setting) == name; };
    if (name.starts_with("SLUICE_") && std::none_of(kSettings.begin(), kSettings.end(), is_it) &&
        std::find(kOfCommands.begin(), kOfCommands.end(), name) == kOfCommands.end()) {
      names.emplace_back(name);
    }
  }
  return names;
}

bool is_loopback(const std::string& listen) {
  const auto endpoint = http::parse_address(listen);
  return endpoint && endpoint->address().is_loopback();
}

namespace {

Error fault(std::string message) { return {ErrorCode::InvalidArgument, std::move(message)}; }

Result<void> check_address(std::string_view name, const std::string& address, bool needs_insecure,
                           const Settings& settings) {
  if (auto parsed = http::parse_address(address); !parsed) {
    return fault(fmt::format("setting {}: {}", name, parsed.error().message));
  }
  if (needs_insecure && !is_loopback(address) && !settings.insecure) {
    return fault(fmt::format(
        "setting {} is {}: a listener beyond loopback without TLS shows what passes to everyone on "
        "the way; set server.tls_cert and server.tls_key, or put a TLS proxy before it and set "
        "server.insecure = true",
        name, address));
  }
  return {};
}

Result<void> check_server(const Settings& settings) {
  const bool tls = !settings.tls_cert.empty();
  if (tls == settings.tls_key.empty()) {
    return fault("server.tls_cert and server.tls_key go together: set both or none");
  }
  if (auto good = check_address("server.listen", settings.listen, !tls, settings); !good) {
    return good;
  }
  if (!settings.admin_listen.empty()) {
    auto good = check_address("server.admin_listen", settings.admin_listen, true, settings);
    if (!good) return good;
  }
  if (tls) {
    const auto loaded = http::TlsContext::load({settings.tls_cert, settings.tls_key});
    if (!loaded) {
      return fault(
          fmt::format("settings server.tls_cert, server.tls_key: {}", loaded.error().message));
    }
  }
  for (const std::string& proxy : settings.trusted_proxies) {
    if (!parse_network(proxy)) {
      return fault(
          fmt::format("setting server.trusted_proxies: \"{}\" is neither a network such "
                      "as 10.0.0.0/8 nor an address",
                      proxy));
    }
  }
  const std::string& url = settings.public_url;
  if (!url.empty() &&
      (!egress::validate_url(url) || url.find_first_of("?#") != url.npos || url.ends_with('/'))) {
    return fault(
        "setting server.public_url must be a URL without query and final slash, such as "
        "https://sluice.example.com");
  }
  if (settings.data_dir.empty()) return fault("server.data_dir is empty: name a directory");
  return {};
}

}  // namespace

Result<void> check(const Settings& settings) {
  if (auto good = check_server(settings); !good) return good;
  if (settings.record_bytes_max > settings.body_bytes_max) {
    return fault(
        "limits.record_bytes_max is larger than limits.body_bytes_max: no such record "
        "could ever arrive");
  }
  // Each partition writes a segment of its own.
  constexpr std::uint32_t kSegmentsMin = 2 * recordlog::kPartitions;
  if (settings.data_bytes_max != 0 &&
      settings.data_bytes_max < kSegmentsMin * settings.segment_bytes) {
    return fault(
        fmt::format("limits.data_bytes_max is less than {} times recordlog.segment_bytes: "
                    "the log could not keep two segments in each of its {} partitions",
                    kSegmentsMin, recordlog::kPartitions));
  }
  constexpr std::array<std::string_view, 4> kLevels = {"debug", "info", "warn", "error"};
  if (std::find(kLevels.begin(), kLevels.end(), settings.level) == kLevels.end()) {
    return fault("setting logging.level must be debug, info, warn or error");
  }
  if (auto issuers = api::load_issuers(settings.issuers); !issuers) return issuers.error();
  if (settings.aws_access_key_id.empty() != settings.aws_secret_access_key.empty()) {
    return fault("aws.access_key_id and aws.secret_access_key go together: set both or none");
  }
  if (const std::string& sts = settings.aws_sts_endpoint_url; !sts.empty()) {
    if (auto valid = egress::validate_url(sts); !valid) {
      return fault("setting aws.sts_endpoint_url: " + valid.error().message);
    }
  }
  egress::Settings egress;
  egress.allow = settings.allow;
  egress.proxy = settings.proxy;
  egress.ca_file = settings.ca_file;
  egress.dns_servers = settings.dns_servers;
  return egress::validate(egress);
}

http::Settings http_settings(const Settings& settings) {
  http::Settings http;
  http.address = settings.listen;
  http.admin_address = settings.admin_listen;
  if (!settings.tls_cert.empty()) http.tls = http::TlsFiles{settings.tls_cert, settings.tls_key};
  for (const std::string& proxy : settings.trusted_proxies) {
    http.trusted_proxies.push_back(*parse_network(proxy));
  }
  http.limits.header_bytes_max = settings.header_bytes_max;
  http.limits.connections_max = static_cast<std::uint32_t>(settings.connections_max);
  http.limits.body_bytes_in_memory_max = settings.body_bytes_in_memory_max;
  return http;
}

void show_limits(const Settings& settings, Metrics& metrics) {
  for (const Setting& setting : kSettings) {
    const auto* number = std::get_if<std::uint64_t Settings::*>(&setting.member);
    if (number == nullptr || !setting.name.ends_with("_max")) continue;
    metrics
        .gauge("sluice_limit", "What a limit is set to; 0: none, or what the disk has room for.",
               {{"setting", full_name(setting)}})
        .set(static_cast<double>(settings.**number));
  }
}

std::string settings_text() {
  const Settings defaults;
  std::ostringstream text;
  std::string_view section;
  for (const Setting& setting : kSettings) {
    if (setting.section != section) {
      text << (section.empty() ? "" : "\n") << "[" << setting.section << "]\n";
      section = setting.section;
    }
    text << "# " << setting.help;
    if (setting.max != UINT64_MAX) text << " (" << setting.min << " to " << setting.max << ")";
    text << "\n" << setting.name << " = ";
    std::visit(
        [&](auto member) {
          const auto& value = defaults.*member;
          if constexpr (std::is_same_v<decltype(member), std::vector<std::string> Settings::*>) {
            toml::array list;
            for (const std::string& item : value) list.push_back(item);
            text << list;
          } else if constexpr (std::is_same_v<decltype(member), std::uint64_t Settings::*>) {
            text << value;
          } else {
            text << toml::value(value);
          }
        },
        setting.member);
    text << "\n";
  }
  return text.str();
}

}  // namespace sluice::server
