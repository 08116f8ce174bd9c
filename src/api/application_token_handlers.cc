// The calls about application tokens, and logging in with one.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "api/answers.h"
#include "api/fault.h"
#include "api/handlers.h"
#include "api/stream_json.h"
#include "base/logging.h"

namespace sluice::api {
namespace {

using http::ErrorToken;
using http::Response;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t kNameBytesMax = 500;

// The property's text; "" and a fault where it is there and no text.
std::string text_of(const json& body, const char* name, Faults& faults) {
  const auto found = body.find(name);
  if (found == body.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  faults.add(name, "must be a string");
  return "";
}

bool has_unknown(const json& body, std::span<const std::string_view> known, Faults& faults) {
  for (const auto& [name, value] : body.items()) {
    if (std::ranges::find(known, name) == known.end()) faults.add(name, "is not known here");
  }
  return !faults.empty();
}

struct Login {
  std::string application_token;
  std::string refresh_token;  // one of the two is ""
};

Login parse_login(const json& body, Faults& faults) {
  constexpr std::array<std::string_view, 2> kKnown = {"application_token", "refresh_token"};
  for (const char* name : {"username", "password"}) {
    if (!body.contains(name)) continue;
    faults.add(name,
               "there are no user names and passwords here: log in with an application_token, "
               "which an admin makes at POST /api/v1/application_token");
    return {};
  }
  if (has_unknown(body, kKnown, faults)) return {};
  Login login{text_of(body, "application_token", faults), text_of(body, "refresh_token", faults)};
  if (login.application_token.empty() == login.refresh_token.empty() && faults.empty()) {
    faults.add("application_token", "either this or refresh_token is needed");
  }
  return login;
}

std::optional<NewApplicationToken> parse_new_token(const json& body, Faults& faults) {
  constexpr std::array<std::string_view, 2> kKnown = {"name", "role"};
  has_unknown(body, kKnown, faults);
  NewApplicationToken draft;
  draft.name = text_of(body, "name", faults);
  if (draft.name.size() > kNameBytesMax) {
    faults.add("name", fmt::format("must be at most {} bytes long", kNameBytesMax));
  }
  const auto role = body.find("role");
  const std::optional<Role> known = role != body.end() && role->is_string()
                                        ? role_from_name(role->get_ref<const std::string&>())
                                        : std::nullopt;
  if (!known) faults.add("role", fmt::format("must be one of {}", fmt::join(kRoleNames, ", ")));
  if (!faults.empty()) return std::nullopt;
  draft.role = *known;
  return draft;
}

ordered_json token_json(const catalog::ApplicationToken& token) {
  return {
      {"id", token.id.value()},           {"name", token.name},
      {"role", role_name(token.role)},    {"organisation", {{"id", token.organisation.value()}}},
      {"key_id", token.key_id},           {"address", address_of(token)},
      {"created", rfc3339(token.created)}};
}

Response not_an_object() {
  return malformed({ErrorCode::InvalidArgument, "a JSON object is expected"});
}

}  // namespace

Handlers::Answer Handlers::authenticate(Request request) {
  const Result<json> body = parse_body(request);
  if (!body) co_return malformed(body.error());
  if (!body->is_object()) co_return not_an_object();
  Faults faults;
  const Login login = parse_login(*body, faults);
  if (!faults.empty()) co_return invalid_request(faults);

  auto look = [this, &login]() -> Result<catalog::ApplicationToken> {
    if (login.refresh_token.empty()) {
      return with_.application_tokens.authenticate(login.application_token);
    }
    const Result<std::string> key_id = signing_.verifier.verify_refresh(login.refresh_token);
    if (!key_id) return key_id.error();
    return with_.application_tokens.find(*key_id);
  };
  const Result<catalog::ApplicationToken> found = co_await with_.catalog_pool.run(std::move(look));
  if (!found) {
    const ErrorCode code = found.error().code;
    const bool wrong = code == ErrorCode::InvalidArgument || code == ErrorCode::NotFound;
    co_return wrong ? unauthorized(found.error().message) : refused(found.error());
  }
  const TokenPair pair = sign_token_pair(signing_.key, identity_of(*found), with_.clock.now());
  Response response =
      json_response(200, {{"auth_token", pair.auth}, {"refresh_token", pair.refresh}});
  response.headers.emplace_back("Cache-Control", "no-store");
  co_return response;
}

Handlers::Answer Handlers::list_application_tokens(Request request) {
  Or<std::optional<OrganisationId>> organisation = organisation_of(request);
  if (auto* response = std::get_if<Response>(&organisation)) co_return std::move(*response);
  const Result<Page> page = parse_page(request.query);
  if (!page) co_return http::error_response(ErrorToken::BadQuery, page.error().message);
  auto look = [this, &page, named = std::get<std::optional<OrganisationId>>(organisation)] {
    return with_.registry.application_tokens(named, ApplicationTokenId{page->after.value_or(0)},
                                             page->limit + 1);
  };
  const Result<std::vector<catalog::ApplicationToken>> found =
      co_await with_.catalog_pool.run(std::move(look));
  if (!found) co_return refused(found.error());
  ordered_json items = ordered_json::array();
  for (const catalog::ApplicationToken& token : *found) items.push_back(token_json(token));
  co_return page_response(*page, std::move(items));
}

Handlers::Answer Handlers::create_application_token(Request request) {
  Or<OrganisationId> named = named_organisation_of(request);
  if (auto* response = std::get_if<Response>(&named)) co_return std::move(*response);
  const Result<json> body = parse_body(request);
  if (!body) co_return malformed(body.error());
  if (!body->is_object()) co_return not_an_object();
  Faults faults;
  std::optional<NewApplicationToken> draft = parse_new_token(*body, faults);
  if (!draft) co_return invalid_request(faults);
  if (!covers(request.identity.role, draft->role)) {
    co_return http::error_response(
        ErrorToken::Forbidden,
        fmt::format("the role {} may not make tokens of the role {}",
                    role_name(request.identity.role), role_name(draft->role)));
  }
  draft->organisation = std::get<OrganisationId>(named);
  auto make = [this, &draft, &request]() -> Or<MadeApplicationToken> {
    Or<catalog::Organisation> owner = find_organisation(draft->organisation, request.identity);
    if (auto* response = std::get_if<Response>(&owner)) return std::move(*response);
    const auto& organisation = std::get<catalog::Organisation>(owner);
    const Result<void> registered = with_.catalog.register_organisations({&organisation, 1});
    if (!registered) return refused(registered.error());
    Result<MadeApplicationToken> made = with_.application_tokens.make(*draft);
    if (made) return *std::move(made);
    if (made.error().code == ErrorCode::ResourceExhausted) {
      return http::error_response(ErrorToken::TokenLimit, made.error().message);
    }
    return refused(made.error());
  };
  Or<MadeApplicationToken> result = co_await with_.catalog_pool.run(std::move(make));
  if (auto* response = std::get_if<Response>(&result)) co_return std::move(*response);
  const auto& [token, secret] = std::get<MadeApplicationToken>(result);
  logging::info("application token made", {{"application_token", token.id.value()},
                                           {"organisation", token.organisation.value()},
                                           {"role", role_name(token.role)},
                                           {"key_id", token.key_id},
                                           {"subject", request.identity.subject}});
  Response response =
      json_response(201, {{"id", token.id.value()},
                          {"key_id", token.key_id},
                          {"secret", secret},
                          {"address", address_of(token)},
                          {"application_token", fmt::format("{}.{}", token.key_id, secret)}});
  response.headers.emplace_back("Location", fmt::format("{}/api/v1/application_token/{}",
                                                        settings_.public_url, token.id.value()));
  response.headers.emplace_back("Cache-Control", "no-store");
  co_return response;
}

Handlers::Answer Handlers::revoke_application_token(Request request) {
  Or<std::optional<OrganisationId>> organisation = organisation_of(request);
  if (auto* response = std::get_if<Response>(&organisation)) co_return std::move(*response);
  auto revoke = [this, id = ApplicationTokenId{request.id},
                 named = std::get<std::optional<OrganisationId>>(organisation)] {
    return with_.application_tokens.revoke(named, id);
  };
  const Result<catalog::ApplicationToken> revoked =
      co_await with_.catalog_pool.run(std::move(revoke));
  if (!revoked) co_return refused(revoked.error());
  logging::info("application token revoked", {{"application_token", revoked->id.value()},
                                              {"organisation", revoked->organisation.value()},
                                              {"key_id", revoked->key_id},
                                              {"subject", request.identity.subject}});
  co_return no_content();
}

}  // namespace sluice::api
