#pragma once
// The calls that look at what is stored. Scans run on a pool of their own: they read segment files
// for seconds, and neither the I/O threads nor the catalog's may wait for that.

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "api/api.h"
#include "api/live_feed.h"
#include "api/organisation_slots.h"
#include "api/query.h"
#include "api/record_scan.h"
#include "base/awaitable.h"
#include "http/error_answer.h"

namespace sluice::api {

// Outlives its awaitables, as `settings` and `dependencies` outlive it.
class RecordCalls {
 public:
  RecordCalls(const Settings& settings, const Dependencies& dependencies);

  // GET /api/v2/records; `organisation` exists.
  Awaitable<http::Response> browse(OrganisationId organisation, Query query);
  // POST /api/v2/data_stream/filters/preview, likewise.
  Awaitable<http::Response> preview(OrganisationId organisation, nlohmann::json body);
  // How many records of `range` pass: the answer of a replay's dry run.
  Awaitable<http::Response> count(ScanRange range, std::shared_ptr<const filters::Filter> filter);
  // GET /api/v2/records/live, likewise. `last_event_id`: the header's value, or "".
  std::variant<LiveConnection, http::Response> watch(OrganisationId organisation,
                                                     const Query& query,
                                                     std::string_view last_event_id);

 private:
  struct Wanted;
  struct Page;

  http::Response read_page(OrganisationId organisation, const Wanted& wanted, const Page& page);
  http::Response read_preview(OrganisationId organisation, const Wanted& wanted);
  SteadyTime until() const;

  static std::variant<Wanted, http::Response> parse_wanted(const Query& query);
  static std::variant<Page, http::Response> parse_page(const Query& query);
  static std::variant<Wanted, http::Response> parse_preview(const nlohmann::json& body);

  const Settings& settings_;
  const Dependencies& with_;
  OrganisationSlots scans_;
  OrganisationSlots live_;
  LiveFeed::Meters live_meters_;
  WorkerPool pool_;
};

}  // namespace sluice::api
