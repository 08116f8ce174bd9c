// The operator's calls about organisations.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "api/answers.h"
#include "api/fault.h"
#include "api/handlers.h"
#include "base/logging.h"

namespace sluice::api {
namespace {

using http::ErrorToken;
using http::Response;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t kTextBytesMax = 500;
constexpr std::size_t kProjectBytesMax = 63;  // it stands in paths

constexpr std::array<std::string_view, 3> kChangeable = {"name", "company_id", "project"};

ordered_json organisation_json(const catalog::Organisation& organisation) {
  return {{"id", organisation.id.value()},
          {"name", organisation.name},
          {"company_id", organisation.company_id.empty() ? ordered_json()
                                                         : ordered_json(organisation.company_id)},
          {"project", catalog::project_name(organisation)}};
}

// Null is "": none. Nullopt: not there, or at fault.
std::optional<std::string> text_of(const json& body, std::string_view name, Faults& faults) {
  const auto found = body.find(name);
  if (found == body.end()) return std::nullopt;
  if (found->is_null()) return "";
  if (!found->is_string()) {
    faults.add(name, "must be a string, or null for none");
    return std::nullopt;
  }
  const std::string& text = found->get_ref<const std::string&>();
  if (text.size() <= kTextBytesMax) return text;
  faults.add(name, fmt::format("must be at most {} bytes long", kTextBytesMax));
  return std::nullopt;
}

// Digits alone are an organisation's id, which no other may have as project, now or later.
std::optional<std::string> project_of(const json& body, OrganisationId id, Faults& faults) {
  std::optional<std::string> project = text_of(body, "project", faults);
  if (!project || project->empty()) return project;
  if (*project == std::to_string(id.value())) return "";  // its default
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto fits = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' || c == '_';
  };
  if (project->size() > kProjectBytesMax || !std::ranges::all_of(*project, fits)) {
    faults.add("project",
               fmt::format("must be at most {} letters, digits, - and _ long", kProjectBytesMax));
  } else if (std::ranges::all_of(*project, is_digit)) {
    faults.add("project", "a number is the project of the organisation that has it as id");
  }
  return project;
}

catalog::OrganisationChange change_of(const json& body, OrganisationId id, Faults& faults) {
  for (const auto& [name, value] : body.items()) {
    const bool known = name == "id" || std::ranges::find(kChangeable, name) != kChangeable.end();
    if (!known) faults.add(name, "is not known here");
  }
  return {.name = text_of(body, "name", faults),
          .company_id = text_of(body, "company_id", faults),
          .project = project_of(body, id, faults)};
}

std::optional<catalog::Organisation> parse_new(const json& body, Faults& faults) {
  const auto id = body.find("id");
  catalog::Organisation organisation;
  if (id == body.end() || !id->is_number_unsigned() || id->get<std::uint64_t>() == 0 ||
      id->get<std::uint64_t>() > catalog::kIdMax) {
    faults.add("id", fmt::format("must be a number from 1 to {}", catalog::kIdMax));
  } else {
    organisation.id = OrganisationId{id->get<std::uint64_t>()};
  }
  const catalog::OrganisationChange rest = change_of(body, organisation.id, faults);
  if (!faults.empty()) return std::nullopt;
  organisation.name = rest.name.value_or("");
  organisation.company_id = rest.company_id.value_or("");
  organisation.project = rest.project.value_or("");
  return organisation;
}

Response not_an_object() {
  return malformed({ErrorCode::InvalidArgument, "a JSON object is expected"});
}

}  // namespace

Handlers::Answer Handlers::list_organisations(Request request) {
  const Result<Page> page = parse_page(request.query);
  if (!page) co_return http::error_response(ErrorToken::BadQuery, page.error().message);
  auto look = [this, &page] {
    std::optional<OrganisationId> after;
    if (page->after) after = OrganisationId{*page->after};
    return with_.registry.organisations(after, page->limit + 1);
  };
  const Result<std::vector<catalog::Organisation>> found =
      co_await with_.catalog_pool.run(std::move(look));
  if (!found) co_return refused(found.error());
  ordered_json items = ordered_json::array();
  for (const catalog::Organisation& organisation : *found) {
    items.push_back(organisation_json(organisation));
  }
  co_return page_response(*page, std::move(items));
}

Handlers::Answer Handlers::create_organisation(Request request) {
  const Result<json> body = parse_body(request);
  if (!body) co_return malformed(body.error());
  if (!body->is_object()) co_return not_an_object();
  Faults faults;
  const std::optional<catalog::Organisation> draft = parse_new(*body, faults);
  if (!draft) co_return invalid_request(faults);
  auto create = [this, &draft] { return with_.registry.create_organisation(*draft); };
  const Result<catalog::Organisation> created = co_await with_.catalog_pool.run(std::move(create));
  if (!created) co_return refused(created.error());
  logging::info("organisation made",
                {{"organisation", created->id.value()}, {"subject", request.identity.subject}});
  Response response = json_response(201, organisation_json(*created));
  response.headers.emplace_back("Location", fmt::format("{}/api/v2/organisation/{}",
                                                        settings_.public_url, created->id.value()));
  co_return response;
}

Handlers::Answer Handlers::change_organisation(Request request) {
  const Result<json> body = parse_body(request);
  if (!body) co_return malformed(body.error());
  if (!body->is_object()) co_return not_an_object();
  const OrganisationId id{request.id};
  Faults faults;
  if (const auto own = body->find("id"); own != body->end() && *own != request.id) {
    faults.add("id", "cannot be changed");
  }
  const catalog::OrganisationChange change = change_of(*body, id, faults);
  if (!faults.empty()) co_return invalid_request_change(faults);
  auto apply = [this, id, &change] { return with_.registry.change_organisation(id, change); };
  const Result<catalog::Organisation> changed = co_await with_.catalog_pool.run(std::move(apply));
  if (!changed) co_return refused(changed.error());
  logging::info("organisation changed",
                {{"organisation", id.value()}, {"subject", request.identity.subject}});
  co_return json_response(200, organisation_json(*changed));
}

}  // namespace sluice::api
