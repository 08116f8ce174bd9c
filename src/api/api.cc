#include "api/api.h"

#include <fmt/format.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>

#include "api/answers.h"
#include "api/handlers.h"
#include "api/routes.h"
#include "api/try_limit.h"
#include "base/logging.h"
#include "http/error_answer.h"

namespace sluice::api {
namespace {

using http::ErrorToken;
using http::Response;

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

// The token of `Authorization: Bearer <token>`; "" when there is none.
std::string_view bearer_token(const http::RequestHead& head) {
  constexpr std::string_view kScheme = "bearer ";
  std::string_view value = head.header("authorization");
  if (!equals_ignoring_case(value.substr(0, kScheme.size()), kScheme)) return "";
  value.remove_prefix(kScheme.size());
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  return value;
}

// How many answers each call gave, by class of status.
class AnswerCounters {
 public:
  explicit AnswerCounters(Metrics& metrics) {
    for (const Route& route : routes()) {
      std::vector<Counter>& of_route = counters_[&route];
      for (const char* status : {"2xx", "4xx", "5xx"}) {
        of_route.push_back(metrics.counter(
            "sluice_api_answers_total", "Answers of the API by call and class of status.",
            {{"call", fmt::format("{} {}", route.method, route.pattern)}, {"status", status}}));
      }
    }
  }
  void count(const Route& route, int status) {
    counters_.at(&route)[status < 400 ? 0 : status < 500 ? 1 : 2].add();
  }

 private:
  std::map<const Route*, std::vector<Counter>> counters_;
};

using HandlerCall = Handlers::Answer (Handlers::*)(Request);
using LiveCall = Handlers::LiveAnswer (Handlers::*)(Request);

struct Permitted {
  const Route* route;
  std::uint64_t id;
  std::uint64_t replay_id;
  Identity identity;
  bool role_suffices = true;  // else the answer depends on whether the stream exists
};

// What a JSON body may be announced as. Nothing is announced: it is taken for JSON.
bool announces_json(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  type = type.substr(0, type.find_last_not_of(" \t") + 1);
  constexpr std::string_view kSuffix = "+json";
  return type.empty() || equals_ignoring_case(type, "application/json") ||
         (type.size() > kSuffix.size() &&
          equals_ignoring_case(type.substr(type.size() - kSuffix.size()), kSuffix));
}

}  // namespace

struct Api::Impl {
  Impl(const Settings& settings_in, const Dependencies& dependencies, const TokenKey& key,
       std::vector<Issuer> issuers)
      : settings(settings_in),
        with(dependencies),
        tokens(key, std::move(issuers), dependencies.clock, dependencies.application_tokens.live()),
        handlers(settings_in, dependencies, {key, tokens}),
        tries({.tries_max = settings.login_tries_max}, dependencies.clock),
        tries_refused(dependencies.metrics.counter(
            "sluice_api_login_tries_refused_total",
            "Tries to log in that were refused because too many came from one address.")),
        counters(dependencies.metrics) {}

  // What the head alone decides: path, method, token, role.
  std::variant<Permitted, Response> permit(const http::RequestHead& head);
  // Counts a try to log in. Nullopt: it may go on.
  std::optional<Response> refuse_try(const http::RequestHead& head);
  Awaitable<void> answer(const Route& route, HandlerCall call, Request request,
                         http::Responder responder);
  Awaitable<void> answer_live(const Route& route, LiveCall call, Request request, std::string token,
                              http::Responder responder);

  const Settings settings;
  const Dependencies with;
  TokenVerifier tokens;
  Handlers handlers;
  TryLimit tries;
  Counter tries_refused;
  AnswerCounters counters;
};

std::variant<Permitted, Response> Api::Impl::permit(const http::RequestHead& head) {
  const RouteMatch match = match_route(head.method, head.path);
  // The admin's listener has /metrics and no more; where there is one, the main one has the rest.
  const bool elsewhere =
      settings.metrics == MetricsAt::AdminListener && head.admin != (head.path == "/metrics");
  if (match.allow.empty() || elsewhere) {
    return http::error_response(ErrorToken::NotFound,
                                fmt::format("there is nothing at {:.200}", head.path));
  }
  if (match.route == nullptr) {
    Response response = http::error_response(
        ErrorToken::MethodNotAllowed,
        fmt::format("{:.200} takes {}, not {:.20}", head.path, match.allow, head.method));
    response.headers.emplace_back("Allow", match.allow);
    return response;
  }
  const Access access = match.route->access;
  const bool is_public = access == Access::Public || access == Access::Login ||
                         (access == Access::Metrics && settings.metrics != MetricsAt::Operators);
  if (is_public) return Permitted{match.route, match.id, match.replay_id, {}};
  const std::string_view token = bearer_token(head);
  if (token.empty()) {
    return unauthorized(
        "this call wants a token: Authorization: Bearer <token> (sluice token "
        "prints one)");
  }
  const Result<Identity> identity = tokens.verify(token);
  if (!identity) return unauthorized(identity.error().message);
  if (!allows(access, identity->role)) {
    if (match.route->about_a_stream())
      return Permitted{match.route, match.id, match.replay_id, *identity, false};
    return http::error_response(ErrorToken::Forbidden,
                                fmt::format("the role {} may not {} {:.200}",
                                            role_name(identity->role), head.method, head.path));
  }
  return Permitted{match.route, match.id, match.replay_id, *identity};
}

std::optional<Response> Api::Impl::refuse_try(const http::RequestHead& head) {
  const std::optional<std::chrono::seconds> wait = tries.count(head.remote_address);
  if (!wait) return std::nullopt;
  tries_refused.add();
  Response response = http::error_response(
      ErrorToken::TooManyTries,
      fmt::format("too many tries to log in from this address; come again in {} s", wait->count()));
  for (auto& [name, value] : response.headers) {
    if (name == "Retry-After") value = std::to_string(wait->count());
  }
  return response;
}

Awaitable<void> Api::Impl::answer(const Route& route, HandlerCall call, Request request,
                                  http::Responder responder) {
  Response response;
  try {
    response = co_await (handlers.*call)(std::move(request));
  } catch (const std::exception& error) {
    // Handlers return their errors; this is a fault of ours that must not take the server down.
    logging::error("call failed", {{"call", route.pattern}, {"what", error.what()}});
    response = http::error_response(ErrorToken::Internal, "the server failed; its log says more");
  }
  counters.count(route, response.status);
  std::move(responder).send(std::move(response));
}

Awaitable<void> Api::Impl::answer_live(const Route& route, LiveCall call, Request request,
                                       std::string token, http::Responder responder) {
  std::variant<LiveConnection, Response> opened = co_await (handlers.*call)(std::move(request));
  if (auto* response = std::get_if<Response>(&opened)) {
    counters.count(route, response->status);
    co_return std::move(responder).send(std::move(*response));
  }
  counters.count(route, 200);
  // What would gather an answer before it passes it on is told not to (nginx reads the second).
  Response head{.status = 200,
                .content_type = "text/event-stream",
                .body = ": live\n\n",
                .headers = {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}}};
  auto client = std::move(responder).stream(std::move(head));
  if (client == nullptr) co_return;
  co_await run_live(std::get<LiveConnection>(std::move(opened)), tokens, std::move(token),
                    std::move(client));
}

Api::Api(Settings settings, Dependencies dependencies, const TokenKey& key,
         std::vector<Issuer> issuers)
    : impl_(std::make_unique<Impl>(settings, dependencies, key, std::move(issuers))) {}

Api::~Api() = default;

void Api::set_issuers(std::vector<Issuer> issuers) {
  impl_->tokens.set_issuers(std::move(issuers));
}

namespace {

// Each organisation's own, and one for those without a token. Who speaks for all is not bound.
http::BodyShare share_of(const Route& route, const Identity& identity) {
  constexpr http::BodyShare kNobodys = 1;
  if (route.access == Access::Login) return kNobodys;
  return identity.bound() ? kNobodys + 1 + identity.organisation->value() : http::kEveryones;
}

}  // namespace

std::variant<http::Handler::TakeBody, Response> Api::on_head(const http::RequestHead& head) {
  std::variant<Permitted, Response> permitted = impl_->permit(head);
  if (auto* response = std::get_if<Response>(&permitted)) return std::move(*response);
  const Permitted& request = std::get<Permitted>(permitted);
  if (request.route->access == Access::Login) {
    std::optional<Response> refused = impl_->refuse_try(head);
    if (refused) return *std::move(refused);
  }
  const http::BodyShare share = share_of(*request.route, request.identity);
  if (!std::holds_alternative<Kind>(request.route->target)) {
    const std::string_view content_type = head.header("content-type");
    const bool has_body = head.content_length != 0u;
    if (request.route->takes_json() && has_body && !announces_json(content_type)) {
      return http::error_response(
          ErrorToken::UnsupportedMediaType,
          fmt::format("Content-Type: this call takes application/json, not {:.100}", content_type));
    }
    return TakeBody{impl_->settings.api_body_bytes_max, share};
  }
  std::optional<Response> refused = impl_->with.ingest.refuse(head, request.identity);
  if (refused) return *std::move(refused);
  return TakeBody{impl_->settings.record_body_bytes_max, share};
}

void Api::on_request(const http::RequestHead& head, http::Body body, http::Responder responder) {
  std::variant<Permitted, Response> permitted = impl_->permit(head);  // again: a token may end
  if (auto* response = std::get_if<Response>(&permitted)) {
    return std::move(responder).send(std::move(*response));
  }
  Permitted& found = std::get<Permitted>(permitted);
  if (const Kind* kind = std::get_if<Kind>(&found.route->target)) {
    return impl_->with.ingest.handle(head, *kind, found.identity, std::move(body),
                                     std::move(responder));
  }
  Result<Query> query = Query::parse(head.query, found.route->query);
  if (!query) {
    return std::move(responder).send(
        http::error_response(ErrorToken::BadQuery, query.error().message));
  }
  Request request{std::move(found.identity), found.id,       found.replay_id,
                  *std::move(query),         head.io_thread, std::move(body)};
  boost::asio::io_context& loop = impl_->with.threads.loop(head.io_thread);
  if (const LiveCall* live = std::get_if<LiveCall>(&found.route->target)) {
    request.last_event_id = head.header("last-event-id");
    boost::asio::co_spawn(loop,
                          impl_->answer_live(*found.route, *live, std::move(request),
                                             std::string(bearer_token(head)), std::move(responder)),
                          boost::asio::detached);
    return;
  }
  const HandlerCall call =
      found.role_suffices ? std::get<HandlerCall>(found.route->target) : &Handlers::refuse_role;
  boost::asio::co_spawn(loop,
                        impl_->answer(*found.route, call, std::move(request), std::move(responder)),
                        boost::asio::detached);
}

Response Api::refusal(int status, std::string_view detail) {
  struct Row {
    int status;
    ErrorToken token;
  };
  constexpr std::array kRows = {
      Row{400, ErrorToken::MalformedRequest}, Row{408, ErrorToken::RequestTimeout},
      Row{413, ErrorToken::BodyTooLarge},     Row{431, ErrorToken::HeaderTooLarge},
      Row{501, ErrorToken::NotImplemented},   Row{503, ErrorToken::Overloaded}};
  const auto* const row = std::ranges::find(kRows, status, &Row::status);
  return http::error_response(row == kRows.end() ? ErrorToken::Internal : row->token, detail);
}

}  // namespace sluice::api
