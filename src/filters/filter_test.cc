// What a filter may be, and what is said of one that may not.

#include "filters/filter.h"

#include <fmt/format.h>

#include "support/filters_fixture.h"

namespace sluice::filters {
namespace {

// The clause that the only fault names.
std::string faulty(std::string_view clauses, KindSet kinds = kBoth) {
  const std::vector<Fault> found = faults(clauses, kinds);
  EXPECT_EQ(found.size(), 1u) << clauses;
  if (found.size() != 1) return "";
  EXPECT_FALSE(found[0].message.empty());
  return found[0].clause;
}

TEST(Filter, AnEmptyListPassesEverything) {
  for (const KindSet kinds : {kUsageOnly, kEventsOnly, kBoth, KindSet{Kind::SensorEvent}}) {
    const auto filter = compile(nlohmann::json::array(), kinds);
    EXPECT_TRUE(filter->passes_all());
    EXPECT_TRUE(filter->columns_suffice());
    Evaluator evaluator;
    for (const Kind kind : {Kind::Usage, Kind::Event, Kind::SensorEvent, Kind::Message}) {
      EXPECT_TRUE(evaluator.passes(*filter, kind, {}, "{}"));
    }
  }
}

TEST(Filter, FieldIdsNumberTheSpecificationsTable) {
  const std::vector<std::string_view> names = {"event_type_id",
                                               "alert",
                                               "event_severity_id",
                                               "event_source_id",
                                               "description",
                                               "endpoint_id",
                                               "endpoint_name",
                                               "endpoint_tags",
                                               "endpoint_ip_address",
                                               "imei",
                                               "imsi",
                                               "iccid",
                                               "msisdn",
                                               "sim_id",
                                               "operator_id",
                                               "country_id",
                                               "country_iso_code",
                                               "mcc",
                                               "mnc",
                                               "apn",
                                               "rat_type",
                                               "traffic_type_id",
                                               "tariff_id",
                                               "ratezone_id",
                                               "volume_total",
                                               "volume_rx",
                                               "volume_tx",
                                               "cost",
                                               "kind"};
  ASSERT_EQ(fields().size(), names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(fields()[i].id, i + 1);
    EXPECT_EQ(fields()[i].name, names[i]);
  }
}

TEST(Filter, FaultsNameTheirClause) {
  EXPECT_EQ(faulty("{}"), "filters");
  EXPECT_EQ(faulty("null"), "filters");
  EXPECT_EQ(faulty("[5]"), "filters[0]");
  EXPECT_EQ(faulty(R"([[]])"), "filters[0]");
  EXPECT_EQ(faulty(R"([{"value": 1}])"), "filters[0].field");
  EXPECT_EQ(faulty(R"([{"field": 1, "value": 1}])"), "filters[0].field");
  EXPECT_EQ(faulty(R"([{"field": "colour", "value": 1}])"), "filters[0].field");
  EXPECT_EQ(faulty(R"([{"field": "imsi"}])"), "filters[0].value");
  EXPECT_EQ(faulty(R"([{"field": "imsi", "value": "1", "x": 1}])"), "filters[0].x");
  EXPECT_EQ(faulty(R"([{"field": "imsi", "value": "1", "op": "like"}])"), "filters[0].op");
  EXPECT_EQ(faulty(R"([{"field": "imsi", "value": "1", "op": 1}])"), "filters[0].op");
  EXPECT_EQ(faulty(R"([{"field": "imsi", "value": "1"}, {"or": [{"field": "x", "value": 1}]}])"),
            "filters[1].or[0].field");
  EXPECT_EQ(faulty(R"([{"and": [{"field": "imsi", "value": "1"}, {"not": [{"field": "imsi"}]}]}])"),
            "filters[0].and[1].not[0].value");
  EXPECT_EQ(faulty(R"([{"or": []}])"), "filters[0].or");
  EXPECT_EQ(faulty(R"([{"not": []}])"), "filters[0].not");
  EXPECT_EQ(faulty(R"([{"and": {}}])"), "filters[0].and");
  EXPECT_EQ(faulty(R"([{"or": [{"field": "imsi", "value": "1"}], "value": 1}])"),
            "filters[0].value");
  EXPECT_EQ(faulty(R"([{"or": [{"field": "imsi", "value": "1"}], "and": []}])"), "filters[0].and");
}

TEST(Filter, AllFaultsComeInTheOrderOfTheList) {
  const std::vector<Fault> found = faults(
      R"([{"field": "x", "value": 1}, {"or": [3, {"field": "imsi", "value": [], "y": 1}]},
          {"and": 1}])");
  std::vector<std::string> clauses;
  for (const Fault& fault : found) clauses.push_back(fault.clause);
  EXPECT_EQ(clauses,
            (std::vector<std::string>{"filters[0].field", "filters[1].or[0]", "filters[1].or[1].y",
                                      "filters[1].or[1].value", "filters[2].and"}));
}

TEST(Filter, OperatorsFitTheirFields) {
  struct Row {
    const char* field;
    const char* value;
    std::string_view operators;  // that it takes
  };
  constexpr std::string_view kNumbers = " eq ne lt le gt ge exists ";
  constexpr std::string_view kTexts = " eq ne prefix contains exists ";
  for (const Row& row :
       {Row{"event_type_id", "1", kNumbers}, Row{"volume_rx", "0.5", kNumbers},
        Row{"imsi", R"("9014")", kTexts}, Row{"mcc", "262", kTexts},
        Row{"alert", "true", " eq ne exists "}, Row{"kind", R"("usage")", " eq ne "}}) {
    for (const std::string op :
         {"eq", "ne", "lt", "le", "gt", "ge", "prefix", "contains", "exists"}) {
      const bool fits = row.operators.find(" " + op + " ") != std::string_view::npos;
      // Beside a clause that names `kind`, so that only this one can be at fault.
      const std::string text = fmt::format(
          R"([{{"field": "kind", "value": ["usage", "event"]}},
              {{"field": "{}", "op": "{}", "value": {}}}])",
          row.field, op, op == "exists" ? "true" : row.value);
      if (fits) {
        EXPECT_TRUE(faults(text).empty()) << text;
      } else {
        EXPECT_EQ(faulty(text), "filters[1].op") << text;
      }
    }
  }
}

TEST(Filter, ValuesFitTheirFields) {
  struct Row {
    const char* field;
    std::vector<const char*> good;
    std::vector<const char*> bad;
  };
  const std::vector<Row> rows = {
      {"endpoint_id",
       {"1", "\"1\"", "-1", "1.0", "9223372036854775807", "\"-9223372036854775808\"", "[1, \"2\"]"},
       {"1.5", "\"1.5\"", "\"a\"", "\"\"", "\"01\"", "true", "null", "{}", "9223372036854775808",
        "1e300", "[]", "[[1]]"}},
      {"volume_total",
       {"1", "\"1\"", "-0.5", "0.0055827500", "\"1e400\"", "\"123456789012345678901234567890\""},
       {"\"a\"", "true", "null", "1e300", "\"1 \"", "[]"}},
      {"iccid",
       {"\"8988303000000011085\"", "8988303000000011085", "\"\"", "[\"a\", 1]"},
       {"true", "null", "{}", "89883030000000110850", "[]", "[null]"}},
      {"alert",
       {"true", "false", "1", "0", "\"true\"", "\"false\"", "\"1\"", "\"0\"", "[true, false]"},
       {"2", "\"yes\"", "null", "\"\"", "[]", "0.5"}},
      {"kind", {"\"usage\"", "\"event\"", "[\"usage\"]"}, {"\"events\"", "1", "true", "null"}},
  };
  for (const Row& row : rows) {
    const auto text = [&](const char* value) {
      return fmt::format(
          R"([{{"or": [{{"field": "kind", "value": "usage"}}, {{"field": "{}", "value": {}}}]}}])",
          row.field, value);
    };
    for (const char* value : row.good) EXPECT_TRUE(faults(text(value)).empty()) << text(value);
    for (const char* value : row.bad) {
      EXPECT_TRUE(faulty(text(value)).starts_with("filters[0].or[1].value")) << text(value);
    }
  }
}

TEST(Filter, ListsGoWithInAlone) {
  EXPECT_TRUE(faults(R"([{"field": "imsi", "op": "in", "value": ["1"]}])").empty());
  EXPECT_EQ(faulty(R"([{"field": "imsi", "op": "in", "value": "1"}])"), "filters[0].value");
  EXPECT_EQ(faulty(R"([{"field": "imsi", "op": "ne", "value": ["1"]}])"), "filters[0].value");
  EXPECT_EQ(faulty(R"([{"field": "imsi", "op": "prefix", "value": ["1"]}])"), "filters[0].value");
  EXPECT_EQ(faulty(R"([{"field": "imsi", "op": "exists", "value": "true"}])"), "filters[0].value");
  EXPECT_EQ(faulty(R"([{"field": "imsi", "value": ["1", null, null]}])"), "filters[0].value[1]");
}

TEST(Filter, FieldsBelongToKinds) {
  EXPECT_EQ(faulty(R"([{"field": "event_type_id", "value": 1}])", kUsageOnly), "filters[0].field");
  EXPECT_EQ(faulty(R"([{"field": "cost", "value": 1}])", kEventsOnly), "filters[0].field");
  EXPECT_EQ(faulty(R"([{"field": "imsi", "value": "1"}])", {Kind::Message}), "filters[0].field");
  EXPECT_EQ(faulty(R"([{"field": "kind", "value": "event"}])", {Kind::SensorEvent}),
            "filters[0].field");
  EXPECT_TRUE(faults(R"([{"field": "imsi", "value": "1"}])", kUsageOnly).empty());
  EXPECT_TRUE(faults(R"([{"field": "imsi", "value": "1"}])", kEventsOnly).empty());
  EXPECT_TRUE(faults(R"([{"field": "volume_rx", "value": 1}])", kEventsOnly).empty());
}

TEST(Filter, AKindThatCanNeverPassMustBeMeant) {
  const auto names = [](std::string_view text) { return faulty(text, kBoth); };
  EXPECT_EQ(names(R"([{"field": "event_type_id", "value": 1}])"), "filters[0].field");
  EXPECT_EQ(names(R"([{"field": "imsi", "value": "1"}, {"field": "cost", "value": 1}])"),
            "filters[1].field");
  EXPECT_EQ(
      names(R"([{"or": [{"field": "cost", "value": 1}, {"field": "tariff_id", "value": 1}]}])"),
      "filters[0]");
  EXPECT_EQ(names(R"([{"and": [{"field": "imsi", "value": "1"}, {"field": "cost", "value": 1}]}])"),
            "filters[0].and[1].field");
  EXPECT_EQ(names(R"([{"not": [{"field": "cost", "op": "exists", "value": false}]}])"),
            "filters[0]");
  EXPECT_EQ(faulty(R"([{"field": "event_type_id", "op": "exists", "value": false}])", kEventsOnly),
            "filters[0].field");
  for (
      const char* good :
      {R"([{"field": "event_type_id", "value": 1}, {"field": "kind", "value": "event"}])",
       R"([{"or": [{"field": "event_type_id", "value": 1}, {"field": "kind", "value": "usage"}]}])",
       R"([{"field": "event_type_id", "op": "ne", "value": 1}])",
       R"([{"not": [{"field": "event_type_id", "value": 1}]}])",
       R"([{"field": "cost", "op": "exists", "value": false}])",
       R"([{"or": [{"field": "event_type_id", "value": 1}, {"field": "imsi", "value": "1"}]}])",
       R"([{"or": [{"field": "event_type_id", "value": 1}, {"field": "cost", "value": 1}]}])"}) {
    EXPECT_TRUE(faults(good).empty()) << good;
  }
}

TEST(Filter, GroupsNestEightDeep) {
  const auto nested = [](std::size_t groups) {
    std::string text = R"({"field": "imsi", "value": "1"})";
    for (std::size_t i = 0; i < groups; ++i) {
      text = fmt::format(R"({{"{}": [{}]}})", i % 2 == 0 ? "or" : "and", text);
    }
    return "[" + text + "]";
  };
  EXPECT_TRUE(faults(nested(8)).empty());
  EXPECT_EQ(faulty(nested(9)), "filters[0].or[0].and[0].or[0].and[0].or[0].and[0].or[0].and[0].or");
}

TEST(Filter, HasAtMost64ClausesGroupsIncluded) {
  const auto many = [](std::size_t tests) {
    std::string list;
    for (std::size_t i = 0; i < tests; ++i) {
      list += std::string(i > 0 ? "," : "") + R"({"field": "imsi", "value": "1"})";
    }
    return list;
  };
  EXPECT_TRUE(faults("[" + many(64) + "]").empty());
  EXPECT_EQ(faulty("[" + many(70) + "]"), "filters[64]");
  EXPECT_TRUE(faults(R"([{"or": [)" + many(63) + "]}]").empty());
  EXPECT_EQ(faulty(R"([{"or": [)" + many(64) + "]}]"), "filters[0].or[63]");
}

TEST(Filter, ColumnsSufficeWhereNoClauseAsksForBytes) {
  const auto suffice = [](std::string_view text, KindSet kinds) {
    return compile(nlohmann::json::parse(text), kinds)->columns_suffice();
  };
  EXPECT_TRUE(suffice(R"([{"field": "event_type_id", "value": [1, 2]}])", kEventsOnly));
  EXPECT_TRUE(suffice(R"([{"field": "event_type_id", "op": "ne", "value": 1}])", kBoth));
  EXPECT_TRUE(suffice(R"([{"field": "kind", "value": "usage"}])", kBoth));
  // A value beyond the column, one that is missing or a string: only the bytes know.
  EXPECT_FALSE(suffice(R"([{"field": "event_type_id", "value": 2147483648}])", kEventsOnly));
  EXPECT_FALSE(suffice(R"([{"field": "event_type_id", "op": "gt", "value": 1}])", kEventsOnly));
  EXPECT_FALSE(suffice(R"([{"field": "alert", "value": true}])", kEventsOnly));
  EXPECT_FALSE(suffice(R"([{"field": "imsi", "value": "1"}])", kEventsOnly));
}

}  // namespace
}  // namespace sluice::filters
