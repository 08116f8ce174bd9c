// The operator's way to set many streams going again, after an outage of what they all need.

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/answers.h"
#include "api/fault.h"
#include "api/handlers.h"
#include "api/stream_fields.h"
#include "base/logging.h"

namespace sluice::api {
namespace {

using http::Response;
using nlohmann::json;
using nlohmann::ordered_json;

struct Wanted {
  std::optional<OrganisationId> organisation;
  std::string reason;  // part of last_error
};

// What is wrong with `body` is added to `faults`.
Wanted parse_wanted(const json& body, Faults& faults) {
  constexpr std::array<std::string_view, 2> kKnown = {"organisation_id", "reason"};
  Wanted wanted;
  if (!body.is_object()) {
    faults.add("body", "must be an object");
    return wanted;
  }
  refuse_unknown(body, "", kKnown, faults);
  if (const json* id = find(body, "organisation_id")) {
    if (id->is_number_unsigned() && id->get<std::uint64_t>() <= catalog::kIdMax) {
      wanted.organisation = OrganisationId{id->get<std::uint64_t>()};
    } else {
      faults.add("organisation_id", "must be the id of an organisation");
    }
  }
  if (const json* reason = find(body, "reason")) {
    if (reason->is_string() && !reason->get_ref<const std::string&>().empty()) {
      wanted.reason = reason->get<std::string>();
    } else {
      faults.add("reason", "must be a part of last_error, or be left out");
    }
  }
  return wanted;
}

}  // namespace

// One after the other: each is as durable as a restart by itself. A stream that leaves Error
// meanwhile is not restarted; one that cannot be is told apart.
Handlers::Answer Handlers::restart_streams(Request request) {
  const Result<json> body = request.body.size() == 0 ? json::object() : parse_body(request);
  if (!body) co_return malformed(body.error());
  Faults faults;
  const Wanted wanted = parse_wanted(*body, faults);
  if (!faults.empty()) co_return invalid_request(faults);
  auto list = [this, organisation = wanted.organisation] {
    return organisation ? with_.catalog.streams(*organisation) : with_.catalog.all_streams();
  };
  const auto streams = co_await with_.catalog_pool.run(std::move(list));
  if (!streams) co_return refused(streams.error());

  ordered_json restarted = ordered_json::array();
  ordered_json failed = ordered_json::array();
  for (const catalog::Stream& stream : *streams) {
    const std::optional<dispatch::StreamSnapshot> now = with_.dispatch.snapshot(stream.id);
    if (!now || now->status != catalog::StreamStatus::Error) continue;
    if (now->last_error.find(wanted.reason) == std::string::npos) continue;
    const auto done = co_await with_.dispatch.command(stream.id, dispatch::Command::Restart);
    const ordered_json id = stream.id.value();
    if (done) {
      restarted.push_back(id);
    } else {
      failed.push_back({{"id", id}, {"message", done.error().message}});
    }
  }
  logging::info("streams in Error restarted", {{"streams", restarted.size()},
                                               {"failed", failed.size()},
                                               {"subject", request.identity.subject}});
  co_return json_response(202,
                          {{"restarted", std::move(restarted)}, {"failed", std::move(failed)}});
}

}  // namespace sluice::api
