#include "api/routes.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "catalog/catalog.h"
#include "signing/issuer.h"

namespace sluice::api {
namespace {

using Names = std::span<const std::string_view>;

constexpr Names kNone;
constexpr std::array<std::string_view, 1> kOrganisation = {"organisation_id"};
constexpr std::array<std::string_view, 2> kCheckedChange = {"organisation_id", "validate"};
constexpr std::array<std::string_view, 2> kPage = {"limit", "after"};
constexpr std::array<std::string_view, 3> kOrganisationPage = {"organisation_id", "limit", "after"};
constexpr std::array<std::string_view, 2> kWindow = {"organisation_id", "window"};
constexpr std::array<std::string_view, 1> kUpTo = {"up_to"};
constexpr std::array<std::string_view, 7> kBrowse = {"organisation_id", "kind",  "from", "to",
                                                     "filters",         "limit", "after"};
constexpr std::array<std::string_view, 2> kStore = {"organisation_id", "on_invalid"};
constexpr std::array<std::string_view, 1> kIdempotent = {"Idempotency-Key"};
constexpr std::array<std::string_view, 3> kWatch = {"organisation_id", "kind", "filters"};
constexpr std::array<std::string_view, 1> kResume = {"Last-Event-ID"};

// Refusals that openapi.json describes.
constexpr std::array<std::string_view, 1> kInvalid = {"422"};
constexpr std::array<std::string_view, 2> kConflictOrInvalid = {"409", "422"};
constexpr std::array<std::string_view, 2> kConflictOrInvalidChange = {"409", "422List"};
constexpr std::array<std::string_view, 1> kConflict = {"409"};
constexpr std::array<std::string_view, 1> kMissing = {"404"};
constexpr std::array<std::string_view, 2> kBusyOrInvalid = {"422", "429"};
constexpr std::array<std::string_view, 3> kIngest = {"409", "422", "429"};
constexpr std::array<std::string_view, 4> kReplay = {"200Count", "409", "422", "429"};
constexpr std::array<std::string_view, 3> kTest = {"409", "422", "429"};
constexpr std::array<std::string_view, 3> kLogin = {"401", "422", "429"};

constexpr RouteDocument answers(std::string_view answer, int status = 200,
                                std::string_view request = "", Names refusals = {},
                                Names headers = {}) {
  return {answer, status, request, refusals, headers};
}

// Of two patterns that fit a path the first counts.
const std::array kRoutes = {
    Route{"GET", "/healthz", Access::Public, &Handlers::health, kNone, "Is the process up",
          answers("Health")},
    Route{"GET", "/readyz", Access::Public, &Handlers::readiness, kNone,
          "Does the storage take records, is nothing damaged, does the catalog answer",
          answers("Ready")},
    Route{"GET", "/metrics", Access::Metrics, &Handlers::metrics, kNone,
          "Metrics as Prometheus text", answers("Metrics", 200, "", kMissing)},
    Route{"GET", "/api/openapi.json", Access::Public, &Handlers::api_document, kNone,
          "This description", answers("Document")},
    Route{"GET", "/api/docs", Access::Public, &Handlers::docs_page, kNone, "This page"},
    Route{"GET", "/api/docs/start.js", Access::Public, &Handlers::docs_start, kNone, "Its start"},
    Route{"GET", "/api/docs/swagger-ui-bundle.js", Access::Public, &Handlers::docs_viewer, kNone,
          "Its viewer"},
    Route{"GET", "/api/docs/swagger-ui.css", Access::Public, &Handlers::docs_style, kNone,
          "Its style"},
    Route{"GET", signing::Issuer::kDiscoveryPath, Access::Public, &Handlers::signing_discovery,
          kNone, "Who signs requests as dt-asymmetric, and where its keys are",
          answers("SigningDiscovery")},
    Route{"GET", signing::Issuer::kKeysPath, Access::Public, &Handlers::signing_keys, kNone,
          "The keys that verify dt-asymmetric signatures", answers("SigningKeys")},
    Route{"POST", "/api/v2/records/usage", Access::Records, Kind::Usage, kStore,
          "Store usage records", answers("Accepted", 200, "Usage", kIngest, kIdempotent)},
    Route{"POST", "/api/v2/records/events", Access::Records, Kind::Event, kStore, "Store events",
          answers("Accepted", 200, "Events", kIngest, kIdempotent)},
    Route{"GET", "/api/v2/quarantine", Access::Operate, &Handlers::list_quarantine, kPage,
          "List the records that ingest rejected and kept, newest first", answers("Quarantine")},
    Route{"DELETE", "/api/v2/quarantine", Access::Operate, &Handlers::clear_quarantine, kUpTo,
          "Remove the rejected records, all or up to an id", answers("HowManyWent")},
    Route{"GET", "/api/v2/records", Access::Read, &Handlers::browse_records, kBrowse,
          "List stored records, oldest first", answers("FoundRecords", 200, "", kBusyOrInvalid)},
    Route{"GET", "/api/v2/records/live", Access::Read, &Handlers::watch_records, kWatch,
          "Records as they are stored, as Server-Sent Events",
          answers("LiveRecords", 200, "", kBusyOrInvalid, kResume)},
    Route{"POST", "/api/v2/data_stream/filters/preview", Access::Read, &Handlers::preview_filters,
          kOrganisation, "Count what passes a filter of the last 24 hours, and show some of it",
          answers("Preview", 200, "Preview", kBusyOrInvalid)},
    Route{"GET", "/api/v2/data_stream", Access::Read, &Handlers::list_streams, kOrganisation,
          "List the organisation's streams, newest first", answers("Streams")},
    Route{"POST", "/api/v2/data_stream", Access::Manage, &Handlers::create_stream, kCheckedChange,
          "Create a stream", answers("StreamCreated", 201, "StreamCreate", kInvalid)},
    Route{"GET", "/api/v2/data_stream/status", Access::Read, &Handlers::list_statuses, kNone,
          "The statuses of a stream", answers("Rows")},
    Route{"GET", "/api/v2/data_stream/type", Access::Read, &Handlers::list_types, kNone,
          "The types of a stream", answers("Rows")},
    Route{"GET", "/api/v2/data_stream/connection_type", Access::Read,
          &Handlers::list_connection_types, kNone, "The connection types of a destination",
          answers("Rows")},
    Route{"GET", "/api/v2/data_stream/filter_field_type", Access::Read,
          &Handlers::list_filter_fields, kNone, "The fields that filters know", answers("Rows")},
    Route{"POST", "/api/v2/data_stream/restart", Access::Operate, &Handlers::restart_streams, kNone,
          "Restart all streams in Error, of one organisation or with one reason",
          answers("Restarted", 202, "RestartMany", kInvalid)},
    Route{"GET", "/api/v2/data_stream/{id}", Access::Read, &Handlers::show_stream, kOrganisation,
          "Show a stream", answers("Stream")},
    Route{"PATCH", "/api/v2/data_stream/{id}", Access::Change, &Handlers::change_stream,
          kCheckedChange, "Change, pause, resume or disable a stream",
          answers("Stream", 202, "StreamChange", kConflictOrInvalidChange)},
    Route{"DELETE", "/api/v2/data_stream/{id}", Access::Manage, &Handlers::delete_stream,
          kOrganisation, "Delete a stream", answers("Taken", 202, "", kConflict)},
    Route{"POST", "/api/v2/data_stream/{id}/restart", Access::Change, &Handlers::restart_stream,
          kOrganisation, "Restart a stream in Error, or try again now",
          answers("Stream", 202, "Nothing", kConflictOrInvalid)},
    Route{"GET", "/api/v2/data_stream/{id}/inspector", Access::Read, &Handlers::list_inspector,
          kOrganisationPage, "List what a stream's inspector was delivered, newest first",
          answers("Inspector")},
    Route{"GET", "/api/v2/data_stream/{id}/dead_letters", Access::Read,
          &Handlers::list_dead_letters, kOrganisationPage,
          "List the records that a stream parked, in the order of their offsets",
          answers("DeadLetters")},
    Route{"DELETE", "/api/v2/data_stream/{id}/dead_letters", Access::Manage,
          &Handlers::delete_dead_letters, kOrganisation, "Delete a stream's dead letters",
          answers("HowManyWent")},
    Route{"POST", "/api/v2/data_stream/{id}/dead_letters/redrive", Access::Change,
          &Handlers::redrive_dead_letters, kOrganisation,
          "Send dead letters again, all or those at some offsets",
          answers("Redrive", 202, "Redrive", kConflictOrInvalid)},
    Route{"POST", "/api/v2/data_stream/{id}/replay", Access::Manage, &Handlers::start_replay,
          kOrganisation, "Send delivered records again, or count them",
          answers("ReplayStarted", 202, "Replay", kReplay)},
    Route{"GET", "/api/v2/data_stream/{id}/replay/{replay_id}", Access::Read,
          &Handlers::show_replay, kOrganisation, "How far a replay or a redrive has come",
          answers("Replay")},
    Route{"DELETE", "/api/v2/data_stream/{id}/replay/{replay_id}", Access::Manage,
          &Handlers::cancel_replay, kOrganisation, "Cancel a replay or a redrive",
          answers("Replay", 202, "", kConflict)},
    Route{"POST", "/api/v2/data_stream/{id}/skip", Access::Change, &Handlers::skip_records,
          kOrganisation, "Give up the records up to some place, as dead letters or for good",
          answers("Stream", 202, "Skip", kConflictOrInvalid)},
    Route{"GET", "/api/v2/data_stream/{id}/attempts", Access::Read, &Handlers::list_attempts,
          kOrganisationPage, "List a stream's attempts to deliver, newest first",
          answers("Attempts")},
    Route{"GET", "/api/v2/data_stream/{id}/metrics", Access::Read, &Handlers::show_metrics, kWindow,
          "Sum up a stream's attempts of the last minutes or hours", answers("StreamMetrics")},
    Route{"POST", "/api/v2/data_stream/{id}/test", Access::Change, &Handlers::test_stream,
          kOrganisation, "Send a sample record to a stream's destination; nothing of it moves",
          answers("Tested", 200, "Nothing", kTest)},
    Route{"POST", "/api/v1/authenticate", Access::Login, &Handlers::authenticate, kNone,
          "Exchange an application token or a refresh token for a JWT",
          answers("LoggedIn", 200, "Login", kLogin)},
    Route{"GET", "/api/v1/application_token", Access::Manage, &Handlers::list_application_tokens,
          kOrganisationPage, "List the organisation's application tokens",
          answers("ApplicationTokens")},
    Route{"POST", "/api/v1/application_token", Access::Manage, &Handlers::create_application_token,
          kOrganisation, "Make an application token; its secret is shown this once",
          answers("ApplicationTokenMade", 201, "ApplicationTokenCreate", kInvalid)},
    Route{"DELETE", "/api/v1/application_token/{id}", Access::Manage,
          &Handlers::revoke_application_token, kOrganisation,
          "Revoke an application token and every JWT made from it", answers("Done", 204)},
    Route{"GET", "/api/v2/organisation", Access::Operate, &Handlers::list_organisations, kPage,
          "List the organisations", answers("Organisations")},
    Route{"POST", "/api/v2/organisation", Access::Operate, &Handlers::create_organisation, kNone,
          "Make an organisation known before its first record",
          answers("OrganisationCreated", 201, "OrganisationCreate", kConflictOrInvalid)},
    Route{"PATCH", "/api/v2/organisation/{id}", Access::Operate, &Handlers::change_organisation,
          kNone, "Change an organisation's name, company id or project",
          answers("Organisation", 200, "OrganisationChange", kConflictOrInvalidChange)},
};

std::optional<std::uint64_t> parse_id(std::string_view segment) {
  std::uint64_t id = 0;
  const char* end = segment.data() + segment.size();
  const auto [stop, error] = std::from_chars(segment.data(), end, id);
  if (error != std::errc() || stop != end || id > catalog::kIdMax) return std::nullopt;
  return id;
}

// Takes the first segment from `path`, which begins with its slash.
std::string_view take_segment(std::string_view& path) {
  const std::size_t end = std::min(path.find('/', 1), path.size());
  const std::string_view segment = path.substr(0, end);
  path.remove_prefix(end);
  return segment;
}

// Sets the match's ids.
bool fits(std::string_view pattern, std::string_view path, RouteMatch& match) {
  while (!pattern.empty() && !path.empty()) {
    const std::string_view wanted = take_segment(pattern);
    const std::string_view segment = take_segment(path);
    if (!wanted.ends_with('}')) {
      if (wanted != segment) return false;
      continue;
    }
    const std::optional<std::uint64_t> id = parse_id(segment.substr(1));
    if (!id) return false;
    (wanted == "/{id}" ? match.id : match.replay_id) = *id;
  }
  return pattern.empty() && path.empty();
}

}  // namespace

bool allows(Access access, Role role) {
  const bool is_operator = role == Role::Operator;
  const bool manages = is_operator || role == Role::Admin;
  switch (access) {
    case Access::Public:
    case Access::Login: return true;
    case Access::Read: return role != Role::Ingest;
    case Access::Change: return manages || role == Role::Developer;
    case Access::Manage: return manages;
    case Access::Records: return is_operator || role == Role::Ingest;
    case Access::Metrics:
    case Access::Operate: return is_operator;
  }
  return false;
}

std::span<const Route> routes() { return kRoutes; }

RouteMatch match_route(std::string_view method, std::string_view path) {
  RouteMatch match;
  std::string_view pattern;  // the first that fits
  for (const Route& route : kRoutes) {
    if (!pattern.empty() && route.pattern != pattern) continue;
    RouteMatch ids;
    if (!fits(route.pattern, path, ids)) continue;
    pattern = route.pattern;
    match.id = ids.id;
    match.replay_id = ids.replay_id;
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += route.method;
    if (route.method == method) match.route = &route;
  }
  return match;
}

}  // namespace sluice::api
