#include "alerts/alert_record.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "catalogue/catalogue.h"
#include "ingest/padded_text.h"
#include "ingest/record_parser.h"

namespace sluice::alerts {
namespace {

using nlohmann::json;

constexpr AlertKind kKinds[] = {AlertKind::Error,     AlertKind::Failing50, AlertKind::Failing70,
                                AlertKind::Failing90, AlertKind::LossAhead, AlertKind::DeadLetters,
                                AlertKind::AgedOut,   AlertKind::Damaged,   AlertKind::Skipped,
                                AlertKind::HandOver,  AlertKind::Recovered};

Told told(AlertKind kind) {
  return {.alert = {StreamId{7}, OrganisationId{42}, kind, "410 gone", 3},
          .occurrences = 2,
          .time = {1'795'291'200'123},
          .stream_name = "to \"lake\"",
          .organisation_name = "Utility"};
}

TEST(AlertRecord, IsAValidEventWithTheColumnsThatIngestWouldFind) {
  ingest::RecordParser parser(1 << 20);
  for (const AlertKind kind : kKinds) {
    const http::Body text = ingest::make_body(record_text(told(kind)));
    const auto parsed = parser.parse(Kind::Event, text.view());
    ASSERT_TRUE(parsed.has_value()) << text.view() << parsed.error().message;
    RecordColumns columns = record_columns(told(kind));
    EXPECT_EQ(columns.own_alert, 1);
    columns.own_alert = 0;  // which nobody can send in
    EXPECT_EQ(parsed->columns, columns) << text.view();
    EXPECT_EQ(parsed->organisation.id, OrganisationId{42});
    EXPECT_GE(columns.type_id, 10'001);
    EXPECT_NE(catalogue::find(catalogue::event_types(), columns.type_id), nullptr);
  }
}

TEST(AlertRecord, SaysWhatHappenedToWhom) {
  EXPECT_EQ(json::parse(record_text(told(AlertKind::DeadLetters))), json::parse(R"({
    "id": 4611686018910231556, "alert": true, "timestamp": "2026-11-21T20:00:00.123Z",
    "description":
      "Records parked as dead letters: data stream 7 \"to \"lake\"\", 3 records: 410 gone",
    "event_type": {"id": 10006, "description": "Records parked as dead letters"},
    "event_source": {"id": 100, "description": "Sluice"},
    "event_severity": {"id": 1, "description": "Warn"},
    "organisation": {"id": 42, "name": "Utility"},
    "detail": {"data_stream_id": 7, "data_stream_name": "to \"lake\"",
               "kind": "data_stream_dead_letters", "reason": "410 gone", "occurrences": 2,
               "records": 3}})"));
}

TEST(AlertRecord, TakesWhateverADestinationSays) {
  Told alert = told(AlertKind::Error);
  alert.alert.reason = "\xff\x01 " + std::string(5000, 'x') + "\xc3";
  const json record = json::parse(record_text(alert));
  EXPECT_LT(record.dump().size(), 4000u);
}

TEST(AlertRecord, IdsAreDistinctAndAbovePlatforms) {
  std::set<std::int64_t> ids;
  for (const std::uint64_t stream : {1ull, 2ull, (1ull << 36) - 1}) {
    for (const AlertKind kind : kKinds) {
      for (const std::int64_t hour : {0, 495'000, (1 << 21) - 1}) {
        const std::int64_t id = alert_id(StreamId{stream}, kind, hour);
        EXPECT_GE(id, std::int64_t{1} << 62);
        EXPECT_TRUE(ids.insert(id).second);
        RecordColumns columns;
        columns.id = id;
        EXPECT_FALSE(is_alert_about(columns, StreamId{stream}));  // somebody else's
        columns.own_alert = 1;
        EXPECT_TRUE(is_alert_about(columns, StreamId{stream}));
        EXPECT_FALSE(is_alert_about(columns, StreamId{stream ^ 1}));
      }
    }
  }
}

}  // namespace
}  // namespace sluice::alerts
