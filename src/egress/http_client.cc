#include "egress/http_client.h"

#include <fmt/format.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <string>
#include <unordered_map>

#include "base/assert.h"
#include "base/metrics.h"
#include "base/text.h"
#include "base/units.h"
#include "egress/address_rules.h"
#include "egress/answer.h"
#include "egress/attempt.h"
#include "egress/byte_stream.h"
#include "egress/connection_pool.h"
#include "egress/dialer.h"
#include "egress/exchange.h"
#include "egress/fault.h"
#include "egress/gather.h"
#include "egress/resolver.h"
#include "egress/tls.h"
#include "egress/url.h"

namespace sluice::egress {
namespace {

namespace asio = boost::asio;

// Behind a proxy this host may have no DNS for outer names: do not spend the deadline on it.
constexpr std::chrono::seconds kLookupBehindProxyMax{1};
constexpr std::size_t kKnownUrlsMax = 10'000;
constexpr std::size_t kKnownUrlBytesMax = 512;
constexpr std::size_t kRoomBytes = 64 * kKiB;

std::uint64_t trust_of(const std::shared_ptr<TlsContext>& tls) {
  return tls == nullptr ? 0 : tls->id();
}

Error invalid(std::string message) { return Error{ErrorCode::InvalidArgument, std::move(message)}; }

// Two lengths in one request are how it is read as two.
bool frames_the_body(std::string_view name) {
  return same_name(name, "Content-Length") || same_name(name, "Transfer-Encoding");
}

// Connectors check what customers give; this is the door's own look, so that nothing that ends a
// line ever gets into a request's head.
Result<void> check_head(const HttpRequest& request) {
  const bool method_ok =
      !request.method.empty() && std::all_of(request.method.begin(), request.method.end(),
                                             [](char c) { return c >= 'A' && c <= 'Z'; });
  if (!method_ok) return invalid("the HTTP method is not a word of capital letters");
  for (const auto& [name, value] : request.headers) {
    if (name.empty() || has_control(name) || name.find_first_of(" \t:;") != std::string::npos) {
      return invalid("a header's name is not a token");
    }
    if (frames_the_body(name)) return invalid(fmt::format("header {} is not the caller's", name));
    if (has_control(value, "\t")) return invalid(fmt::format("header {}: control character", name));
  }
  return {};
}

Result<void> check_ca_file(const std::string& path) {
  const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> store(X509_STORE_new(),
                                                                      &X509_STORE_free);
  if (X509_STORE_load_file(store.get(), path.c_str()) == 1) return {};
  return invalid(fmt::format("[egress] ca_file: {} holds no readable certificate (PEM)", path));
}

}  // namespace

Result<void> validate(const Settings& settings) {
  const Result<AddressRules> rules = AddressRules::parse(settings.allow);
  if (!rules.has_value()) return rules.error();
  if (!settings.proxy.empty() && !is_proxy(settings.proxy)) {  // which may hold credentials
    return invalid("[egress] proxy must be a URL such as http://proxy.example:3128 or https://...");
  }
  if (!settings.ca_file.empty()) {
    if (Result<void> ok = check_ca_file(settings.ca_file); !ok.has_value()) return ok;
  }
  if (!settings.dns_servers.empty()) {
    if (Result<void> ok = Resolver::check_servers(settings.dns_servers); !ok.has_value()) {
      return invalid("[egress] dns_servers: " + ok.error().message);
    }
  }
  if (settings.connections_per_host_max == 0 || settings.connections_max == 0) {
    return invalid("[egress] the limits of connections must be at least 1");
  }
  return {};
}

struct HttpClient::Impl {
  Impl(asio::io_context& loop_in, const Clock& clock_in, Settings settings_in, Metrics* metrics);
  ~Impl();

  Awaitable<Result<HttpResponse>> perform(HttpRequest request, SteadyTime deadline, Fault* fault);
  Awaitable<Result<void>> probe(std::string url, OrganisationId organisation, SteadyTime deadline,
                                std::shared_ptr<TlsContext> tls);

  Awaitable<Result<std::unique_ptr<ByteStream>>> connect(StreamTarget target, SteadyTime deadline,
                                                         Fault* fault);

  Result<std::shared_ptr<const Url>> read_url(const std::string& text);
  // The addresses that may be connected to; possibly none with a proxy. `url` outlives it.
  Awaitable<Result<Addresses>> checked_addresses(const Url& url, OrganisationId organisation,
                                                 SteadyTime deadline);
  Result<Addresses> only_allowed(const Url& url, const Addresses& addresses) const;

  asio::io_context& loop;
  const Clock& clock;
  const Settings settings;
  const AddressRules rules;
  Resolver resolver;
  Dialer dialer;
  const std::shared_ptr<ConnectionPool> pool;
  std::unordered_map<std::string, std::shared_ptr<const Url>> urls;  // read before
  std::vector<char> room = std::vector<char>(kRoomBytes);  // of exchanges, between their waits
};

namespace {

AddressRules parsed_rules(const Settings& settings) {
  Result<AddressRules> rules = AddressRules::parse(settings.allow);
  SLUICE_ASSERT(rules.has_value());  // validate() comes before
  return std::move(*rules);
}

Resolver::Options resolver_options(const Settings& settings) {
  Resolver::Options options;
  options.cache = settings.dns_cache;
  options.servers = settings.dns_servers;
  return options;
}

std::optional<ConnectionPool::Gauges> gauges_of(Metrics* metrics) {
  if (metrics == nullptr) return std::nullopt;
  return ConnectionPool::Gauges{
      metrics->gauge("sluice_egress_connections", "Connections to destinations, kept ones too."),
      metrics->gauge("sluice_egress_waiting_requests",
                     "Requests that wait for a connection: there are as many as there may be, to "
                     "the host or in all.")};
}

}  // namespace

HttpClient::Impl::Impl(asio::io_context& loop_in, const Clock& clock_in, Settings settings_in,
                       Metrics* metrics)
    : loop(loop_in),
      clock(clock_in),
      settings(std::move(settings_in)),
      rules(parsed_rules(settings)),
      resolver(loop, clock, resolver_options(settings)),
      dialer(loop, clock, resolver, Dialer::Options{settings.ca_file, settings.proxy}),
      pool(std::make_shared<ConnectionPool>(
          loop, ConnectionPool::Limits{settings.connections_per_host_max, settings.connections_max},
          gauges_of(metrics))) {}

// Coroutines that still wait are never resumed: their frames, and the connections in them, go with
// the loop, after this.
HttpClient::Impl::~Impl() { pool->close(); }

// Reading one takes longer than all else that a small request needs.
Result<std::shared_ptr<const Url>> HttpClient::Impl::read_url(const std::string& text) {
  if (const auto known = urls.find(text); known != urls.end()) return known->second;
  Result<Url> url = parse_url(text);
  if (!url.has_value()) return url.error();
  std::shared_ptr<const Url> shared = std::make_shared<const Url>(std::move(*url));
  if (text.size() > kKnownUrlBytesMax) return shared;
  if (urls.size() >= kKnownUrlsMax) urls.clear();
  urls.emplace(text, shared);
  return shared;
}

Result<Addresses> HttpClient::Impl::only_allowed(const Url& url, const Addresses& addresses) const {
  Addresses allowed;
  std::string refused;
  for (const asio::ip::address& address : addresses) {
    const auto reason = rules.refusal(address, url.host, url.port);
    if (!reason.has_value()) {
      allowed.push_back(address);
    } else if (refused.empty()) {
      refused = url.is_address
                    ? fmt::format("{} is {}", url.host, *reason)
                    : fmt::format("{} resolves to {}, {}", url.host, address.to_string(), *reason);
    }
  }
  if (allowed.empty()) {
    return invalid(refused + ": not a destination unless the operator's [egress] allow lists it");
  }
  return allowed;
}

Awaitable<Result<Addresses>> HttpClient::Impl::checked_addresses(const Url& url,
                                                                 OrganisationId organisation,
                                                                 SteadyTime deadline) {
  if (url.is_address) co_return only_allowed(url, {asio::ip::make_address(url.host)});
  const bool proxied = dialer.proxied();
  const SteadyTime limit =
      proxied ? std::min(deadline, clock.steady() + kLookupBehindProxyMax) : deadline;
  const Result<Addresses> found = co_await resolver.resolve(url.host, organisation, limit);
  if (!found.has_value()) {
    // The proxy resolves the name itself, and is the one that can keep it to outer addresses.
    if (proxied && found.error().code != ErrorCode::Cancelled) co_return Addresses{};
    co_return found.error();
  }
  co_return only_allowed(url, *found);
}

Awaitable<Result<HttpResponse>> HttpClient::Impl::perform(HttpRequest request, SteadyTime deadline,
                                                          Fault* fault) {
  Attempt attempt(loop, clock, deadline);
  const auto failed = [&attempt, fault](const Error& error) {
    if (fault != nullptr) *fault = fault_at(attempt.stage(), error.code);
    return error;
  };
  const Result<std::shared_ptr<const Url>> read = read_url(request.url);
  if (!read.has_value()) co_return failed(read.error());
  const std::shared_ptr<const Url> url = *read;
  if (Result<void> head = check_head(request); !head.has_value()) co_return failed(head.error());
  const Result<Addresses> addresses =
      co_await checked_addresses(*url, request.organisation, deadline);
  if (!addresses.has_value()) {
    if (resolver.servers_are_silent()) attempt.enter(Stage::Own);
    co_return failed(addresses.error());
  }

  attempt.enter(Stage::Waiting);
  Destination destination{request.organisation, url->host, url->port, url->tls,
                          trust_of(request.tls)};
  Result<ConnectionPool::Place> place = co_await pool->take(std::move(destination), attempt);
  if (!place.has_value()) co_return failed(place.error());
  if (place->connection == nullptr) {
    Result<std::unique_ptr<Connection>> made = co_await dialer.dial(
        {*url, *addresses, request.organisation, request.tls.get()}, attempt, room);
    if (!made.has_value()) co_return failed(made.error());
    place->connection = std::move(*made);
  }
  attempt.enter(Stage::Answer);

  const bool bodyless = request.method == "HEAD";
  if (bodyless) request.body.clear();
  const std::string head = request_head(request, *url, dialer.via_proxy(*url));
  std::optional<Gather> gather;
  if (request.body_source != nullptr) {
    request.body_source->begin();
    gather.emplace(head, *request.body_source, request.body_source_bytes);
  } else {
    gather.emplace(head, request.body);
  }
  Gather& bytes = *gather;
  AnswerReader answer(bodyless ? AnswerReader::To::Head : AnswerReader::To::Request, clock,
                      request.answer_bytes_max);
  const Result<void> done = co_await exchange(*place->connection, bytes, answer, attempt, room);
  if (!done.has_value()) co_return failed(done.error());
  // Behind a proxy nothing tells organisations apart.
  if (bytes.done() && answer.leaves_connection() && !dialer.proxied()) place->keep();
  co_return answer.take();
}

Awaitable<Result<void>> HttpClient::Impl::probe(std::string text, OrganisationId organisation,
                                                SteadyTime deadline,
                                                std::shared_ptr<TlsContext> tls) {
  const Result<std::shared_ptr<const Url>> read = read_url(text);
  if (!read.has_value()) co_return read.error();
  const std::shared_ptr<const Url> url = *read;
  const Result<Addresses> addresses = co_await checked_addresses(*url, organisation, deadline);
  if (!addresses.has_value()) co_return addresses.error();

  Attempt attempt(loop, clock, deadline);
  Destination destination{organisation, url->host, url->port, url->tls, trust_of(tls)};
  Result<ConnectionPool::Place> place = co_await pool->take(std::move(destination), attempt);
  if (!place.has_value()) co_return place.error();
  place->connection.reset();  // a kept one proves nothing about new ones
  const Result<std::unique_ptr<Connection>> made =
      co_await dialer.dial({*url, *addresses, organisation, tls.get()}, attempt, room);
  if (!made.has_value()) co_return made.error();
  co_return Result<void>{};
}

Awaitable<Result<std::unique_ptr<ByteStream>>> HttpClient::Impl::connect(StreamTarget target,
                                                                         SteadyTime deadline,
                                                                         Fault* fault) {
  Attempt attempt(loop, clock, deadline);
  const auto failed = [&attempt, fault](const Error& error) {
    if (fault != nullptr) *fault = fault_at(attempt.stage(), error.code);
    return error;
  };
  Result<Url> url = parse_host_and_port(host_and_port(target.host, target.port), target.port);
  if (!url.has_value()) co_return failed(url.error());
  url->tls = target.secure;
  const Result<Addresses> addresses =
      co_await checked_addresses(*url, target.organisation, deadline);
  if (!addresses.has_value()) {
    if (resolver.servers_are_silent()) attempt.enter(Stage::Own);
    co_return failed(addresses.error());
  }
  attempt.enter(Stage::Waiting);
  Destination destination{target.organisation, url->host, url->port, url->tls,
                          trust_of(target.tls)};
  Result<ConnectionPool::Place> place = co_await pool->take(std::move(destination), attempt);
  if (!place.has_value()) co_return failed(place.error());
  place->connection.reset();  // one that spoke HTTP
  Result<std::unique_ptr<Connection>> made = co_await dialer.dial(
      {*url, *addresses, target.organisation, target.tls.get(), /*http=*/false}, attempt, room);
  if (!made.has_value()) co_return failed(made.error());
  place->connection = std::move(*made);
  co_return std::make_unique<ByteStream>(loop, clock, *std::move(place));
}

HttpClient::HttpClient(asio::io_context& loop, const Clock& clock, Settings settings,
                       Metrics* metrics)
    : impl_(std::make_unique<Impl>(loop, clock, std::move(settings), metrics)) {}

HttpClient::~HttpClient() = default;

asio::io_context& HttpClient::loop() const { return impl_->loop; }

Awaitable<Result<HttpResponse>> HttpClient::perform(HttpRequest request, SteadyTime deadline,
                                                    Fault* fault) {
  return impl_->perform(std::move(request), deadline, fault);
}

Awaitable<Result<void>> HttpClient::probe(std::string url, OrganisationId organisation,
                                          SteadyTime deadline, std::shared_ptr<TlsContext> tls) {
  return impl_->probe(std::move(url), organisation, deadline, std::move(tls));
}

Awaitable<Result<std::unique_ptr<ByteStream>>> HttpClient::connect(StreamTarget target,
                                                                   SteadyTime deadline,
                                                                   Fault* fault) {
  return impl_->connect(std::move(target), deadline, fault);
}

std::shared_ptr<TlsContext> HttpClient::make_tls(TlsOptions options) const {
  if (options.empty()) return nullptr;
  return std::make_shared<TlsContext>(impl_->settings.ca_file, std::move(options));
}

}  // namespace sluice::egress
