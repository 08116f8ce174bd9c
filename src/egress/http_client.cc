#include "egress/http_client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <unordered_set>

#include "base/assert.h"
#include "egress/address_rules.h"
#include "egress/curl_loop.h"
#include "egress/resolver.h"
#include "egress/transfer.h"
#include "egress/url.h"
#include "egress/wait.h"

namespace sluice::egress {
namespace {

namespace asio = boost::asio;

// Behind a proxy this host may have no DNS for outer names: do not spend the deadline on it.
constexpr std::chrono::seconds kLookupBehindProxyMax{1};

Error invalid(std::string message) { return Error{ErrorCode::InvalidArgument, std::move(message)}; }

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  });
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
    if (has_control(value)) return invalid(fmt::format("header {}: control character", name));
  }
  return {};
}

Result<void> check_proxy(const std::string& proxy) {
  // The proxy may carry credentials: never show it.
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(curl_url(), &curl_url_cleanup);
  const bool known_scheme = proxy.starts_with("http://") || proxy.starts_with("https://");
  if (known_scheme && curl_url_set(url.get(), CURLUPART_URL, proxy.c_str(), 0) == CURLUE_OK) {
    return {};
  }
  return invalid("[egress] proxy must be a URL such as http://proxy.example:3128 or https://...");
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
  if (!settings.proxy.empty()) {
    if (Result<void> ok = check_proxy(settings.proxy); !ok.has_value()) return ok;
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
  Impl(asio::io_context& loop_in, const Clock& clock_in, Settings settings_in);
  ~Impl();

  Awaitable<Result<HttpResponse>> perform(HttpRequest request, SteadyTime deadline);
  Awaitable<Result<void>> probe(std::string url, OrganisationId organisation, SteadyTime deadline);

  // The addresses that may be connected to; possibly none with a proxy. `url` outlives it.
  Awaitable<Result<Addresses>> checked_addresses(const Url& url, OrganisationId organisation,
                                                 SteadyTime deadline);
  Result<Addresses> only_allowed(const Url& url, const Addresses& addresses) const;
  // Until the transfer is done or its time is up. True: it was cancelled. `transfer` outlives it.
  Awaitable<bool> run(Transfer& transfer);

  asio::io_context& loop;
  const Clock& clock;
  const Settings settings;
  const AddressRules rules;
  Resolver resolver;
  CurlLoop curl;
  std::unordered_set<Transfer*> running;
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

}  // namespace

HttpClient::Impl::Impl(asio::io_context& loop_in, const Clock& clock_in, Settings settings_in)
    : loop(loop_in),
      clock(clock_in),
      settings(std::move(settings_in)),
      rules(parsed_rules(settings)),
      resolver(loop, clock, resolver_options(settings)),
      curl(loop,
           CurlLoop::Limits{static_cast<long>(settings.connections_per_host_max),
                            static_cast<long>(settings.connections_max)},
           [](void* easy, int code) { Transfer::of(easy).finish(code); }) {}

// Coroutines that still wait are never resumed: their frames go with the loop, after this.
HttpClient::Impl::~Impl() {
  for (Transfer* transfer : running) {
    curl.remove(transfer->easy());
    transfer->abandon();
  }
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
  const bool proxied = !settings.proxy.empty();
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

Awaitable<bool> HttpClient::Impl::run(Transfer& transfer) {
  // Takes the transfer out again, however the coroutine ends.
  struct Running {
    Impl& impl;
    Transfer& transfer;
    Running(Impl& impl_in, Transfer& transfer_in) : impl(impl_in), transfer(transfer_in) {
      impl.running.insert(&transfer);
      impl.curl.add(transfer.easy());
    }
    ~Running() {
      if (transfer.easy() == nullptr) return;  // abandoned: `impl` is gone
      impl.curl.remove(transfer.easy());
      impl.running.erase(&transfer);
    }
  };
  const Running running_now(*this, transfer);
  while (!transfer.done() && !transfer.expired()) {
    const bool go_on = co_await wait_for_wake(transfer.wake());
    if (!go_on) co_return true;
  }
  co_return false;
}

Awaitable<Result<HttpResponse>> HttpClient::Impl::perform(HttpRequest request,
                                                          SteadyTime deadline) {
  Result<Url> url = parse_url(request.url);
  if (!url.has_value()) co_return url.error();
  if (Result<void> head = check_head(request); !head.has_value()) co_return head.error();
  const Result<Addresses> addresses =
      co_await checked_addresses(*url, request.organisation, deadline);
  if (!addresses.has_value()) co_return addresses.error();

  Transfer transfer({loop, clock, settings, rules}, Transfer::Purpose::Request, std::move(request),
                    std::move(*url), *addresses, deadline);
  const bool cancelled = co_await run(transfer);
  if (transfer.answered()) co_return transfer.take_response();
  co_return transfer.error(cancelled);
}

Awaitable<Result<void>> HttpClient::Impl::probe(std::string text, OrganisationId organisation,
                                                SteadyTime deadline) {
  Result<Url> url = parse_url(text);
  if (!url.has_value()) co_return url.error();
  const Result<Addresses> addresses = co_await checked_addresses(*url, organisation, deadline);
  if (!addresses.has_value()) co_return addresses.error();

  HttpRequest request;
  request.organisation = organisation;
  request.url = std::move(text);
  Transfer transfer({loop, clock, settings, rules}, Transfer::Purpose::Probe, std::move(request),
                    std::move(*url), *addresses, deadline);
  const bool cancelled = co_await run(transfer);
  if (cancelled) co_return transfer.error(true);
  co_return transfer.probed();
}

HttpClient::HttpClient(asio::io_context& loop, const Clock& clock, Settings settings)
    : impl_(std::make_unique<Impl>(loop, clock, std::move(settings))) {}

HttpClient::~HttpClient() = default;

Awaitable<Result<HttpResponse>> HttpClient::perform(HttpRequest request, SteadyTime deadline) {
  return impl_->perform(std::move(request), deadline);
}

Awaitable<Result<void>> HttpClient::probe(std::string url, OrganisationId organisation,
                                          SteadyTime deadline) {
  return impl_->probe(std::move(url), organisation, deadline);
}

}  // namespace sluice::egress
