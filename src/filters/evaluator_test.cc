// What passes a filter: each rule once, on records as vendors write them.

#include <fmt/format.h>

#include "support/filters_fixture.h"

namespace sluice::filters {
namespace {

std::string usage(std::string_view more) {
  return fmt::format(R"({{"id": 1, "end_timestamp": "2026-03-19T21:06:33Z", {}}})", more);
}

std::string event(std::string_view more, std::string_view type_id = "3") {
  return fmt::format(
      R"({{"id": 1, "timestamp": "2026-03-19T21:06:33Z", "event_type": {{"id": {}}}, {}}})",
      type_id, more);
}

// Whether `record` passes; one clause without its braces is enough.
bool passes(std::string clauses, Kind kind, std::string_view record) {
  if (!clauses.starts_with('[')) clauses = "[{" + clauses + "}]";
  const auto filter = compile(nlohmann::json::parse(clauses), {kind});
  Evaluator evaluator;
  return filter && evaluator.passes(*filter, kind, columns_of(kind, record), record);
}
bool passes_usage(const std::string& clauses, std::string_view more) {
  return passes(clauses, Kind::Usage, usage(more));
}
bool passes_event(const std::string& clauses, std::string_view more) {
  return passes(clauses, Kind::Event, event(more));
}

TEST(Evaluator, FindsEachFieldOfAUsageRecord) {
  const std::string record = usage(
      R"("endpoint": {"id": 8392037, "name": "GPS", "tags": "a, b", "ip_address": "10.0.0.1",
          "imei": "3577"}, "imsi": "90143",
         "sim": {"id": 233746, "iccid": "89883", "msisdn": "4491"},
         "operator": {"id": 4, "mnc": "01", "country": {"id": 74, "iso_code": "de", "mcc": "262"}},
         "detail": {"id": 9, "pdp_context": {"apn": "em", "rat_type": 6, "mcc": "1", "mnc": "2"}},
         "traffic_type": {"id": 5}, "tariff": {"id": 64, "ratezone": {"id": 83}},
         "volume": {"total": 0.022331, "rx": 0.0138, "tx": 0.008531}, "cost": 0.0055827500)");
  for (const char* clause : {R"("field": "endpoint_id", "value": 8392037)",
                             R"("field": "endpoint_name", "value": "GPS")",
                             R"("field": "endpoint_tags", "value": "a, b")",
                             R"("field": "endpoint_ip_address", "value": "10.0.0.1")",
                             R"("field": "imei", "value": "3577")",
                             R"("field": "imsi", "value": "90143")",
                             R"("field": "iccid", "value": "89883")",
                             R"("field": "msisdn", "value": "4491")",
                             R"("field": "sim_id", "value": 233746)",
                             R"("field": "operator_id", "value": 4)",
                             R"("field": "country_id", "value": 74)",
                             R"("field": "country_iso_code", "value": "de")",
                             R"("field": "mcc", "value": "262")",
                             R"("field": "mnc", "value": "01")",
                             R"("field": "apn", "value": "em")",
                             R"("field": "rat_type", "value": 6)",
                             R"("field": "traffic_type_id", "value": 5)",
                             R"("field": "tariff_id", "value": 64)",
                             R"("field": "ratezone_id", "value": 83)",
                             R"("field": "volume_total", "value": 0.022331)",
                             R"("field": "volume_rx", "value": 0.0138)",
                             R"("field": "volume_tx", "value": 0.008531)",
                             R"("field": "cost", "value": 0.00558275)",
                             R"("field": "kind", "value": "usage")"}) {
    EXPECT_TRUE(passes(clause, Kind::Usage, record)) << clause;
  }
}

TEST(Evaluator, FindsEachFieldOfAnEvent) {
  const std::string record = event(
      R"("alert": true, "event_severity": {"id": 1}, "event_source": {"id": 2},
         "description": "PDP \"x\"", "endpoint": {"id": 7, "name": "n", "tags": "t",
         "ip_address": "10.1.1.1", "imei": "35"}, "imsi": {"id": 1, "imsi": "9014"},
         "sim": {"id": 5, "iccid": "898", "msisdn": "44"},
         "operator": {"id": 99, "mnc": "99", "country": {"id": 99}}, "volume": {"total": 99},
         "detail": {"id": 3, "country": {"id": 74, "iso_code": "de", "mcc": "262"},
           "mnc": [{"id": 3, "mnc": "02"}, {"mnc": "03"}],
           "pdp_context": {"apn": "em", "rat_type": 9, "mcc": "310", "ue_ip_address": "100.1.1.1"},
           "volume": {"total": 1.5, "rx": 1, "tx": "0.5"}})");
  for (const char* clause : {R"("field": "event_type_id", "value": 3)",
                             R"("field": "alert", "value": true)",
                             R"("field": "event_severity_id", "value": 1)",
                             R"("field": "event_source_id", "value": 2)",
                             R"("field": "description", "value": "PDP \"x\"")",
                             R"("field": "endpoint_id", "value": 7)",
                             R"("field": "endpoint_name", "value": "n")",
                             R"("field": "endpoint_tags", "value": "t")",
                             R"("field": "endpoint_ip_address", "value": "10.1.1.1")",
                             R"("field": "imei", "value": "35")",
                             R"("field": "imsi", "value": "9014")",
                             R"("field": "iccid", "value": "898")",
                             R"("field": "msisdn", "value": "44")",
                             R"("field": "sim_id", "value": 5)",
                             R"("field": "operator_id", "value": 3)",
                             R"("field": "country_id", "value": 74)",
                             R"("field": "country_iso_code", "value": "de")",
                             R"("field": "mcc", "value": "262")",
                             R"("field": "mnc", "value": "03")",
                             R"("field": "apn", "value": "em")",
                             R"("field": "rat_type", "value": 9)",
                             R"("field": "volume_total", "value": 1.5)",
                             R"("field": "volume_rx", "value": 1)",
                             R"("field": "volume_tx", "value": 0.5)",
                             R"("field": "kind", "value": "event")"}) {
    EXPECT_TRUE(passes(clause, Kind::Event, record)) << clause;
  }
}

TEST(Evaluator, LooksInTheSecondPlaceWhereTheFirstHasNoValue) {
  const std::string ip = R"("field": "endpoint_ip_address", "value": "100.1.1.1")";
  const std::string context = R"("detail": {"pdp_context": {"ue_ip_address": "100.1.1.1"}})";
  EXPECT_TRUE(passes_event(ip, context));
  EXPECT_TRUE(passes_event(ip, R"("endpoint": {"ip_address": null}, )" + context));
  EXPECT_TRUE(passes_event(ip, R"("endpoint": {"ip_address": {}}, )" + context));
  EXPECT_FALSE(passes_event(ip, R"("endpoint": {"ip_address": ""}, )" + context));

  const std::string mcc = R"("field": "mcc", "value": "262")";
  EXPECT_TRUE(passes_event(mcc, R"("detail": {"pdp_context": {"mcc": "262"}})"));
  EXPECT_FALSE(
      passes_event(mcc, R"("detail": {"pdp_context": {"mcc": "262"}, "country": {"mcc": "310"}})"));

  const std::string mnc = R"("field": "mnc", "value": "02")";
  const std::string list = R"("mnc": [{"mnc": "01"}, 5, {"id": 1}, {"mnc": null}, {"mnc": "02"}])";
  EXPECT_TRUE(passes_event(mnc, "\"detail\": {" + list + "}"));
  EXPECT_FALSE(passes_event(mnc, R"("detail": {"pdp_context": {"mnc": "07"}, )" + list + "}"));
  EXPECT_TRUE(passes_event(mnc, R"("detail": {"pdp_context": {"mnc": null}, )" + list + "}"));
}

TEST(Evaluator, NotEqualToSeveralValuesIsEqualToNone) {
  const std::string list = R"("detail": {"mnc": [{"mnc": "01"}, {"mnc": "02"}]})";
  EXPECT_FALSE(passes_event(R"("field": "mnc", "op": "ne", "value": "02")", list));
  EXPECT_TRUE(passes_event(R"("field": "mnc", "op": "ne", "value": "03")", list));
}

TEST(Evaluator, ADetailThatIsAStringHasNoFields) {
  const std::string detail = R"("detail": "{id: 3, mcc: 262}")";
  EXPECT_FALSE(passes_event(R"("field": "operator_id", "value": 3)", detail));
  EXPECT_TRUE(passes_event(R"("field": "operator_id", "op": "exists", "value": false)", detail));
}

TEST(Evaluator, AMissingFieldFailsAllButNeNotAndExistsFalse) {
  for (
      const char* more :
      {R"("user": null)", R"("imsi": null, "detail": null, "event_severity": null)",
       R"("imsi": "90", "detail": [], "event_severity": 1)",
       R"("imsi": {"imsi": null}, "event_severity": {"id": null}, "detail": {"volume": null})",
       R"("imsi": {"imsi": {}}, "event_severity": {"id": "x"}, "detail": {"volume": {"rx": true}})",
       R"("imsi": {"imsi": true}, "event_severity": [], "detail": {"volume": {"rx": ""}})"}) {
    for (const char* fails :
         {R"("field": "imsi", "value": "1")", R"("field": "imsi", "value": ["1"])",
          R"("field": "imsi", "op": "prefix", "value": "")",
          R"("field": "imsi", "op": "contains", "value": "")",
          R"("field": "imsi", "op": "exists", "value": true)",
          R"("field": "volume_rx", "op": "lt", "value": 1)",
          R"("field": "volume_rx", "op": "le", "value": 1)",
          R"("field": "volume_rx", "op": "gt", "value": -1)",
          R"("field": "volume_rx", "op": "ge", "value": -1)",
          R"("field": "event_severity_id", "value": 0)",
          R"("field": "event_severity_id", "op": "lt", "value": 9)",
          R"("field": "alert", "value": false)"}) {
      EXPECT_FALSE(passes_event(fails, more)) << fails << " " << more;
      EXPECT_TRUE(passes_event(fmt::format(R"("not": [{{{}}}])", fails), more)) << fails;
    }
    for (const char* holds : {R"("field": "imsi", "op": "ne", "value": "1")",
                              R"("field": "volume_rx", "op": "ne", "value": 1)",
                              R"("field": "alert", "op": "ne", "value": false)",
                              R"("field": "event_severity_id", "op": "ne", "value": 0)",
                              R"("field": "imsi", "op": "exists", "value": false)"}) {
      EXPECT_TRUE(passes_event(holds, more)) << holds << " " << more;
    }
  }
}

TEST(Evaluator, ANumberOrItsStringOnEitherSide) {
  for (const char* value : {"5", "\"5\"", "5.0", "[7, \"5\"]"}) {
    const std::string id = fmt::format(R"("field": "endpoint_id", "value": {})", value);
    for (const char* in_record : {"5", "\"5\"", "5.0", "50e-1"}) {
      EXPECT_TRUE(passes_usage(id, fmt::format(R"("endpoint": {{"id": {}}})", in_record)))
          << value << " " << in_record;
    }
    EXPECT_FALSE(passes_usage(id, R"("endpoint": {"id": "05"})"));
    EXPECT_FALSE(passes_usage(id, R"("endpoint": {"id": true})"));
  }
  EXPECT_TRUE(passes_usage(R"("field": "mcc", "value": 262)",
                           R"("operator": {"country": {"mcc": "262"}})"));
  EXPECT_TRUE(passes_usage(R"("field": "mcc", "value": "262")",
                           R"("operator": {"country": {"mcc": 262}})"));
  EXPECT_FALSE(passes_usage(R"("field": "mnc", "value": 2)", R"("operator": {"mnc": "02"})"));
  EXPECT_TRUE(passes_usage(R"("field": "iccid", "op": "prefix", "value": 8988)",
                           R"("sim": {"iccid": 89883030000000110851 })"));
}

TEST(Evaluator, TrueMatchesOneAndItsStrings) {
  for (const char* value : {"true", "1", "\"true\"", "\"1\""}) {
    const std::string clause = fmt::format(R"("field": "alert", "value": {})", value);
    for (const char* yes : {"true", "1", "\"true\"", "\"1\"", "1.0"}) {
      EXPECT_TRUE(passes_event(clause, fmt::format("\"alert\": {}", yes))) << value << " " << yes;
    }
    for (const char* no : {"false", "0", "\"false\"", "\"0\"", "2", "null", "\"yes\"", "{}"}) {
      EXPECT_FALSE(passes_event(clause, fmt::format("\"alert\": {}", no))) << value << " " << no;
    }
  }
  EXPECT_TRUE(passes_event(R"("field": "alert", "value": false)", R"("alert": "0")"));
}

TEST(Evaluator, ComparesNumbersExactly) {
  const auto cost = [](std::string_view op, std::string_view value, std::string_view in_record) {
    return passes_usage(fmt::format(R"("field": "cost", "op": "{}", "value": {})", op, value),
                        fmt::format("\"cost\": {}", in_record));
  };
  EXPECT_TRUE(cost("eq", "0.00558275", "0.0055827500"));
  EXPECT_FALSE(cost("eq", "\"0.10000000000000000001\"", "0.1"));
  EXPECT_TRUE(cost("gt", "\"0.10000000000000000001\"", "0.10000000000000000002"));
  EXPECT_TRUE(cost("lt", "1", "0.9999999999"));
  EXPECT_FALSE(cost("lt", "1", "1.0000000000"));
  EXPECT_TRUE(cost("le", "1", "1.0000000000"));
  EXPECT_TRUE(cost("ge", "-0.5", "-0.5"));
  EXPECT_TRUE(cost("gt", "1", "1e400"));
  EXPECT_TRUE(cost("gt", "1", "\"12\""));
  const std::string next = R"("endpoint": {"id": 9007199254740993})";
  EXPECT_FALSE(passes_usage(R"("field": "endpoint_id", "value": 9007199254740992)", next));
  EXPECT_TRUE(passes_usage(R"("field": "endpoint_id", "value": 9007199254740993)", next));
}

TEST(Evaluator, AsksTheBytesWhatAColumnCouldNotHold) {
  const auto is = [](const char* clause, const std::string& record) {
    return passes(clause, Kind::Event, record);
  };
  const char* const big = R"("field": "event_type_id", "value": 2147483648)";
  EXPECT_TRUE(is(big, event("\"a\": 1", "2147483648")));
  EXPECT_FALSE(is(big, event("\"a\": 1", "2147483647")));
  EXPECT_TRUE(is(R"("field": "event_type_id", "op": "lt", "value": 0)", event("\"a\": 1", "-5")));
  EXPECT_TRUE(is(R"("field": "event_type_id", "op": "gt", "value": 5)",
                 event("\"a\": 1", "18446744073709551615")));
  EXPECT_FALSE(is(R"("field": "event_type_id", "value": 5)", event("\"a\": 1", "4294967301")));
  EXPECT_TRUE(is(R"("field": "event_type_id", "op": "ne", "value": 5)", event("\"a\": 1", "-1")));
  EXPECT_TRUE(is(R"("field": "event_severity_id", "value": 128)",
                 event(R"("event_severity": {"id": 128})")));
  EXPECT_TRUE(
      is(R"("field": "event_severity_id", "value": -1)", event(R"("event_severity": {"id": -1})")));
  EXPECT_TRUE(
      is(R"("field": "event_source_id", "value": 2)", event(R"("event_source": {"id": "2"})")));
  EXPECT_TRUE(is(R"("field": "endpoint_id", "value": "-9223372036854775808")",
                 event(R"("endpoint": {"id": -9223372036854775808})")));
}

TEST(Evaluator, OfDuplicateKeysTheLastCounts) {
  const std::string imsi = R"("field": "imsi", "value": "2")";
  EXPECT_TRUE(passes_event(imsi, R"("imsi": {"imsi": "1"}, "imsi": {"imsi": "2"})"));
  EXPECT_FALSE(passes_event(imsi, R"("imsi": {"imsi": "2"}, "imsi": {"id": 1})"));
  EXPECT_FALSE(passes_event(imsi, R"("imsi": {"imsi": "2", "imsi": null})"));
  EXPECT_FALSE(passes_event(imsi, R"("imsi": {"imsi": "2"}, "imsi": null)"));
  EXPECT_TRUE(passes_event(imsi, R"("imsi": {"imsi": "1"}, "\u0069msi": {"imsi": "2"})"));
  const std::string mnc = R"("field": "mnc", "value": "2")";
  EXPECT_FALSE(passes_event(mnc, R"("detail": {"mnc": [{"mnc": "2", "mnc": "3"}]})"));
  EXPECT_FALSE(passes_event(mnc, R"("detail": {"mnc": [{"mnc": "2"}], "mnc": [{"mnc": "3"}]})"));
  EXPECT_FALSE(passes_event(mnc, R"("detail": {"mnc": [{"mnc": "2"}]}, "detail": {})"));
}

TEST(Evaluator, GroupsCombineAsTheyAreCalled) {
  const std::string record = event(R"("description": "abc", "endpoint": {"id": 5})");
  const std::string yes = R"({"field": "endpoint_id", "value": 5})";
  const std::string no = R"({"field": "description", "op": "contains", "value": "x"})";
  const auto is = [&](const std::string& list) {
    return passes("[" + list + "]", Kind::Event, record);
  };
  EXPECT_TRUE(is(yes));
  EXPECT_FALSE(is(no));
  EXPECT_FALSE(is(yes + "," + no));
  EXPECT_TRUE(is(R"({"or": [)" + no + "," + yes + "]}"));
  EXPECT_FALSE(is(R"({"or": [)" + no + "," + no + "]}"));
  EXPECT_FALSE(is(R"({"and": [)" + yes + "," + no + "]}"));
  EXPECT_TRUE(is(R"({"and": [)" + yes + "," + yes + "]}"));
  EXPECT_FALSE(is(R"({"not": [)" + no + "," + yes + "]}"));
  EXPECT_TRUE(is(R"({"not": [)" + no + "," + no + "]}"));
  EXPECT_TRUE(is(R"({"not": [{"and": [)" + yes + R"(, {"not": [)" + yes + "]}]}]}"));
}

TEST(Evaluator, EachKindOfAMixedStreamHasItsOwnRule) {
  const auto filter =
      compile(nlohmann::json::parse(R"([{"or": [{"field": "event_type_id", "value": 3},
                                        {"field": "cost", "op": "gt", "value": 1}]}])"),
              kBoth);
  Evaluator evaluator;
  const auto is = [&](Kind kind, const std::string& record) {
    return evaluator.passes(*filter, kind, columns_of(kind, record), record);
  };
  EXPECT_TRUE(is(Kind::Event, event(R"("cost": 0)")));
  EXPECT_FALSE(is(Kind::Event, event(R"("cost": 5)", "4")));
  EXPECT_TRUE(is(Kind::Usage, usage(R"("cost": 5, "event_type": {"id": 4})")));
  EXPECT_FALSE(is(Kind::Usage, usage(R"("cost": 0, "event_type": {"id": 3})")));
  EXPECT_FALSE(evaluator.passes(*filter, Kind::Message, {}, "{}"));
}

TEST(Evaluator, TouchesNothingBehindTheRecord) {
  const std::string record = event(R"("imsi": {"imsi": "1"})");
  const auto exact = std::make_unique<char[]>(record.size());  // the address sanitizer watches
  std::copy(record.begin(), record.end(), exact.get());
  const auto filter =
      compile(nlohmann::json::parse(R"([{"field": "imsi", "value": "1"}])"), kEventsOnly);
  Evaluator evaluator;
  EXPECT_TRUE(evaluator.passes(*filter, Kind::Event, columns_of(Kind::Event, record),
                               {exact.get(), record.size()}));
}

}  // namespace
}  // namespace sluice::filters
