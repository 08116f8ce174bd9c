#include "ingest/record_parser.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "ingest/padded_text.h"

namespace sluice::ingest {
namespace {

constexpr std::int64_t kAbsent = RecordColumns::kAbsent;

class RecordParserTest : public testing::Test {
 protected:
  // "" when `text` is a valid record.
  std::string fault(Kind kind, std::string_view text) {
    body_ = make_body(text);
    const Result<ParsedRecord> parsed = parser_.parse(kind, body_.view());
    return parsed ? "" : parsed.error().message;
  }
  ParsedRecord parse(Kind kind, std::string_view text) {
    body_ = make_body(text);
    Result<ParsedRecord> parsed = parser_.parse(kind, body_.view());
    EXPECT_TRUE(parsed.has_value()) << text << '\n' << parsed.error().message;
    return parsed ? *parsed : ParsedRecord{};
  }
  // A usage record that is valid but for what `members` brings along.
  std::string usage_fault(std::string_view members) {
    return fault(Kind::Usage,
                 fmt::format(R"({{"id":1,"end_timestamp":"2026-01-01T00:00:00Z",{}}})", members));
  }
  std::string event_fault(std::string_view members) {
    return fault(Kind::Event, fmt::format(R"({{"id":1,"timestamp":"2026-01-01T00:00:00Z",)"
                                          R"("event_type":{{"id":1}},{}}})",
                                          members));
  }

  RecordParser parser_{1 << 20};
  http::Body body_;
};

TEST_F(RecordParserTest, ReadsTheColumnsOfAnEvent) {
  const ParsedRecord record = parse(Kind::Event, R"({
    "endpoint": {"tags": null, "id": 77, "name": "meter"}, "alert": true, "id": 4711,
    "event_severity": {"id": 2, "description": "Critical"}, "event_source": {"id": 0},
    "organisation": {"name": "Utility", "id": 42}, "timestamp": "2020-02-29 12:00:00.25",
    "event_type": {"description": "Update location", "id": 1}, "unknown": {"id": 5}})");
  const RecordColumns expected{.id = 4711,
                               .time_ms = 1'582'977'600'250,
                               .endpoint_id = 77,
                               .type_id = 1,
                               .severity_id = 2,
                               .source_id = 0,
                               .alert = 1};
  EXPECT_EQ(record.columns, expected);
  EXPECT_EQ(record.organisation.id, OrganisationId{42});
  EXPECT_EQ(record.organisation.name, "Utility");
}

TEST_F(RecordParserTest, ReadsTheColumnsOfAUsageRecord) {
  const ParsedRecord record = parse(Kind::Usage, R"({"cost":0.0012345678,"id":-5,
    "start_timestamp":"2020-02-29T13:00:00Z","end_timestamp":"2020-02-29T12:00:00Z",
    "traffic_type":{"id":5},"endpoint":{"id":-1},"alert":true,"event_type":{"id":9}})");
  const RecordColumns expected{
      .id = -5, .time_ms = 1'582'977'600'000, .endpoint_id = -1, .type_id = 5};
  EXPECT_EQ(record.columns, expected);
  EXPECT_EQ(record.organisation.id, std::nullopt);
  EXPECT_FALSE(record.organisation.unusable);
}

TEST_F(RecordParserTest, TakesTheStartWhereAUsageRecordHasNoEnd) {
  for (const char* const end : {"", R"(,"end_timestamp":null)"}) {
    const std::string text =
        fmt::format(R"({{"id":1,"start_timestamp":"2020-02-29T12:00:00Z"{}}})", end);
    EXPECT_EQ(parse(Kind::Usage, text).columns.time_ms, 1'582'977'600'000);
  }
}

TEST_F(RecordParserTest, NamesWhatAUsageRecordLacks) {
  EXPECT_EQ(fault(Kind::Usage, R"({"end_timestamp":"2020-02-29T12:00:00Z"})").substr(0, 13),
            "id is missing");
  EXPECT_EQ(fault(Kind::Usage, R"({"id":1})"),
            "start_timestamp and end_timestamp are missing: a usage record needs one of them");
  EXPECT_EQ(fault(Kind::Usage, R"({"id":1,"timestamp":"2020-02-29T12:00:00Z"})").substr(0, 15),
            "start_timestamp");
  EXPECT_EQ(usage_fault(R"("start_timestamp":"yesterday")").substr(0, 34),
            "start_timestamp is not a timestamp");
  EXPECT_EQ(
      usage_fault(R"("start_timestamp":"2020-02-29T12:00:00Z","end_timestamp":5)").substr(0, 32),
      "end_timestamp is not a timestamp");
}

TEST_F(RecordParserTest, NamesWhatAnEventLacks) {
  constexpr std::string_view kTime = R"("timestamp":"2020-02-29T12:00:00Z")";
  const auto of = [&](std::string_view members) {
    return fault(Kind::Event, fmt::format("{{{}}}", members));
  };
  EXPECT_EQ(of(R"("id":1,"event_type":{"id":1})").substr(0, 20), "timestamp is missing");
  EXPECT_EQ(of(R"("id":1,"timestamp":null,"event_type":{"id":1})").substr(0, 20),
            "timestamp is missing");
  EXPECT_EQ(of(R"("id":1,"timestamp":1582977600,"event_type":{"id":1})").substr(0, 28),
            "timestamp is not a timestamp");
  for (const char* const type :
       {"", R"(,"event_type":null)", R"(,"event_type":1)", R"(,"event_type":[{"id":1}])",
        R"(,"event_type":{})", R"(,"event_type":{"id":null})"}) {
    EXPECT_EQ(of(fmt::format(R"("id":1,{}{})", kTime, type)),
              "event_type.id is missing: an event needs an integer event_type.id")
        << type;
  }
  for (const char* const id : {"\"1\"", "1.0", "1e0", "true", "{}", "18446744073709551616"}) {
    EXPECT_EQ(of(fmt::format(R"("id":1,{},"event_type":{{"id":{}}})", kTime, id)).substr(0, 31),
              "event_type.id is not an integer")
        << id;
  }
}

TEST_F(RecordParserTest, TakesIdsToBothEndsOf64Bits) {
  const auto id_of = [&](std::string_view id) {
    return parse(Kind::Usage,
                 fmt::format(R"({{"id":{},"end_timestamp":"2026-01-01T00:00:00Z"}})", id))
        .columns.id;
  };
  EXPECT_EQ(id_of("0"), 0);
  EXPECT_EQ(id_of("-0"), 0);
  EXPECT_EQ(id_of("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(id_of("-9223372036854775807"), -INT64_MAX);
  EXPECT_EQ(id_of("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(id_of("9223372036854775808"), kAbsent);
  EXPECT_EQ(id_of("18446744073709551615"), kAbsent);
}

TEST_F(RecordParserTest, RefusesOtherIds) {
  for (const char* const id :
       {"18446744073709551616", "-9223372036854775809", "123456789012345678901234567890", "1.0",
        "1e3", "1E400", "-1e400", "\"12\"", "true", "[1]", "{\"id\":1}"}) {
    EXPECT_EQ(
        fault(Kind::Usage, fmt::format(R"({{"id":{},"end_timestamp":"2026-01-01T00:00:00Z"}})", id))
            .substr(0, 20),
        "id is not an integer")
        << id;
  }
  EXPECT_EQ(usage_fault(R"("id":null)").substr(0, 13), "id is missing");
}

TEST_F(RecordParserTest, TakesNumbersOfAnySizeThatItDoesNotRead) {
  for (const std::string& number :
       {std::string("123456789012345678901234567890"), std::string("-99999999999999999999"),
        std::string("18446744073709551616"), std::string("1e400"), std::string("-1e400"),
        std::string("1E+99999999999999999999"), std::string("1e-99999999999999999999"),
        std::string("0.00000000000000000000000000000000000000000000001"), std::string("-0"),
        std::string("-0.0e-0"), std::string("0e0"), std::string("0.0000000001"),
        std::string(400, '9'), std::string(400, '9') + "." + std::string(400, '9') + "e9999",
        "0." + std::string(5000, '1'), "1" + std::string(5000, '0')}) {
    EXPECT_EQ(usage_fault(fmt::format(R"("cost":{})", number)), "") << number;
    EXPECT_EQ(usage_fault(fmt::format(R"("cost":[1e400,{{"x":[{}]}}])", number)), "") << number;
  }
}

TEST_F(RecordParserTest, RefusesWhatOnlyLooksLikeANumber) {
  for (const char* const number : {"01",
                                   "-01",
                                   "00",
                                   "-",
                                   "+1",
                                   "1.",
                                   ".5",
                                   "1.e5",
                                   "1e",
                                   "1e+",
                                   "1E-",
                                   "1.5.5",
                                   "1e5.5",
                                   "1e5e5",
                                   "1-1",
                                   "--1",
                                   "0x10",
                                   "1_000",
                                   "NaN",
                                   "Infinity",
                                   "-Infinity",
                                   "1 2",
                                   "1,",
                                   "1\v",
                                   "--1e400",
                                   "01e400",
                                   "1e400e",
                                   "1e400x",
                                   "1e400 1",
                                   "x1e400",
                                   "+1e400",
                                   ".1e400",
                                   "1.e400",
                                   "1e400.5",
                                   "1e400-5",
                                   "1e5e3",
                                   "1e4001e400",
                                   "1e400\"\"",
                                   "1e400[]",
                                   "-e400",
                                   "-123456789012345678901234567890-",
                                   "1234567890123456789012345678901e",
                                   "0123456789012345678901234567890"}) {
    EXPECT_NE(usage_fault(fmt::format(R"("cost":{})", number)), "") << number;
    EXPECT_NE(usage_fault(fmt::format(R"("a":1e400,"cost":{})", number)), "") << number;
  }
}

TEST_F(RecordParserTest, KeepsWhatItReadsBesideBigNumbers) {
  const ParsedRecord record = parse(
      Kind::Event, R"({"big":1e400,"id":18446744073709551615,"timestamp":"2020-02-29T12:00:00Z",)"
                   R"("event_type":{"id":2147483647},"endpoint":{"id":-9223372036854775807},)"
                   R"("event_severity":{"id":127},"event_source":{"id":1e400},"alert":1,)"
                   R"("organisation":{"id":9223372036854775807,"name":"1e400"}})");
  const RecordColumns expected{.time_ms = 1'582'977'600'000,
                               .endpoint_id = -INT64_MAX,
                               .type_id = INT32_MAX,
                               .severity_id = 127,
                               .alert = 1};
  EXPECT_EQ(record.columns, expected);
  EXPECT_EQ(record.organisation.id, OrganisationId{INT64_MAX});
  EXPECT_EQ(record.organisation.name, "1e400");
}

TEST_F(RecordParserTest, OfDuplicateKeysTheLastCounts) {
  const ParsedRecord record = parse(
      Kind::Event, R"({"id":"no","id":1,"id":2,"timestamp":"never","event_type":{"id":7},)"
                   R"("timestamp":"2020-02-29T12:00:00Z","event_type":{"id":"no","id":8,"id":9},)"
                   R"("organisation":{"id":1,"name":"old"},"organisation":{"id":"x","id":3},)"
                   R"("alert":true,"alert":null,"endpoint":{"id":5},"endpoint":null})");
  EXPECT_EQ(record.columns.id, 2);
  EXPECT_EQ(record.columns.type_id, 9);
  EXPECT_EQ(record.columns.alert, -1);
  EXPECT_EQ(record.columns.endpoint_id, kAbsent);
  EXPECT_EQ(record.organisation.id, OrganisationId{3});
  EXPECT_EQ(record.organisation.name, "");
  EXPECT_EQ(event_fault(R"("id":"no")").substr(0, 20), "id is not an integer");
  EXPECT_EQ(event_fault(R"("event_type":{})").substr(0, 24), "event_type.id is missing");
  EXPECT_EQ(event_fault(R"("event_type":{"id":1,"id":null})").substr(0, 24),
            "event_type.id is missing");
}

TEST_F(RecordParserTest, ReadsEscapedKeysAndValues) {
  const ParsedRecord record =
      parse(Kind::Event,
            R"({"\u0069d":1,"time\u0073tamp":"2020\u002d02-29T12:00:00Z",)"
            R"("event\u005ftype":{"i\u0064":6},"organisation":{"id":1,"n\u0061me":"\u20ac\n"}})");
  EXPECT_EQ(record.columns.id, 1);
  EXPECT_EQ(record.columns.time_ms, 1'582'977'600'000);
  EXPECT_EQ(record.columns.type_id, 6);
  EXPECT_EQ(record.organisation.name, "\xE2\x82\xAC\n");
  EXPECT_NE(fault(Kind::Event, R"({"id\u0000":1})"), "");
}

TEST_F(RecordParserTest, LeavesOutColumnsThatDoNotFit) {
  for (const char* const value :
       {"null", "1", "\"x\"", "[]", "{}", R"({"id":null})", R"({"id":"1"})", R"({"id":1.0})",
        R"({"id":9223372036854775808})", R"({"id":18446744073709551616})"}) {
    const ParsedRecord record =
        parse(Kind::Event, fmt::format(R"({{"id":1,"timestamp":"2026-01-01 00:00:00",)"
                                       R"("event_type":{{"id":2147483648}},"endpoint":{0},)"
                                       R"("event_severity":{0},"event_source":{0},"alert":{0}}})",
                                       value));
    const RecordColumns expected{.id = 1,
                                 .time_ms = record.columns.time_ms,
                                 .alert = static_cast<std::int8_t>(value[0] == '1' ? 1 : -1)};
    EXPECT_EQ(record.columns, expected) << value;
  }
  for (const char* const id : {"-1", "128", "256", "1000000"}) {
    const ParsedRecord record =
        parse(Kind::Event, fmt::format(R"({{"id":1,"timestamp":"2026-01-01 00:00:00",)"
                                       R"("event_type":{{"id":-3}},"event_source":{{"id":{0}}},)"
                                       R"("event_severity":{{"id":{0}}},"alert":{0}}})",
                                       id));
    EXPECT_EQ(record.columns.type_id, -1);
    EXPECT_EQ(record.columns.severity_id, -1);
    EXPECT_EQ(record.columns.source_id, -1);
    EXPECT_EQ(record.columns.alert, -1);
  }
}

TEST_F(RecordParserTest, ReadsTheOrganisation) {
  const auto organisation = [&](std::string_view value) {
    return parse(Kind::Usage, fmt::format(R"({{"id":1,"end_timestamp":"2026-01-01 00:00:00",)"
                                          R"("organisation":{}}})",
                                          value))
        .organisation;
  };
  EXPECT_EQ(organisation(R"({"id":0})").id, OrganisationId{0});
  for (const char* const absent : {"null", "{}", R"({"id":null})", R"({"name":"x"})"}) {
    EXPECT_EQ(organisation(absent).id, std::nullopt) << absent;
    EXPECT_FALSE(organisation(absent).unusable) << absent;
  }
  for (const char* const unusable :
       {"5", "\"Acme\"", "[]", "[5]", R"({"id":"5"})", R"({"id":5.0})", R"({"id":-1})",
        R"({"id":9223372036854775808})", R"({"id":99999999999999999999999})", R"({"id":{}})"}) {
    EXPECT_EQ(organisation(unusable).id, std::nullopt) << unusable;
    EXPECT_TRUE(organisation(unusable).unusable) << unusable;
  }
  EXPECT_EQ(organisation(R"({"id":1,"name":5})").name, "");
}

// 1 is the record; the innermost one is empty, an object, an array or holds a value.
TEST_F(RecordParserTest, Takes64LevelsAndNotOneMore) {
  for (const char* const middle : {"", "1", "\"}]\"", "1e400"}) {
    for (const int depth : {2, 63, 64, 65, 66, 200, 2000}) {
      SCOPED_TRACE(fmt::format("depth {} around <{}>", depth, middle));
      const auto levels = static_cast<std::size_t>(depth - 1);
      const std::string arrays =
          "\"a\":" + std::string(levels, '[') + middle + std::string(levels, ']');
      EXPECT_EQ(usage_fault(arrays) == "", depth <= 64);
      std::string objects = "\"a\":";
      for (std::size_t i = 0; i + 1 < levels; ++i) objects += "{\"a\":";
      objects += *middle == '\0' ? "{}" : fmt::format("{{\"a\":{}}}", middle);
      objects += std::string(levels - 1, '}');
      EXPECT_EQ(usage_fault(objects) == "", depth <= 64);
      EXPECT_EQ(usage_fault(objects).find("64 levels") != std::string::npos, depth > 64);
    }
  }
}

TEST_F(RecordParserTest, RefusesLoneSurrogates) {
  for (const char* const text :
       {R"(\ud800)", R"(\udc00)", R"(\uDFFF)", R"(\uDBFFx)", R"(\ud800\ud800)", R"(\ud800\u0041)",
        R"(\udc00\ud800)", R"(\ud800\n)", R"(\ud800\\dc00)", R"(\ud83d\ude00\ude00)",
        R"(\ud800\ue000)", R"(\uD800\uDBFF)", R"(\\\ud800)", R"(a\ud83dz\ude00)"}) {
    EXPECT_NE(usage_fault(fmt::format(R"("a":"{}")", text)), "") << text;
    EXPECT_NE(usage_fault(fmt::format(R"("{}":1)", text)), "") << text;
    EXPECT_NE(usage_fault(fmt::format(R"("a":"{}","b":1e400)", text)), "") << text;
  }
  for (const char* const text :
       {R"(\ud83d\ude00)", R"(\uD800\uDC00\udbff\uDFFF)", R"(\\ud800)", R"(\\\\udc00)",
        R"(\ud7ff\ue000)", R"(\u0000)", R"(\/\b\f\n\r\t)"}) {
    EXPECT_EQ(usage_fault(fmt::format(R"("a":"{0}","{0}":1)", text)), "") << text;
  }
}

TEST_F(RecordParserTest, RefusesInvalidUtf8OfEachClass) {
  for (const char* const bytes : {"\x80",
                                  "\xBF",
                                  "\xC0\x80",
                                  "\xC1\xBF",
                                  "\xC2",
                                  "\xC2\x41",
                                  "\xE0\x80\x80",
                                  "\xE0\x9F\xBF",
                                  "\xE2\x82",
                                  "\xE2\x28\xA1",
                                  "\xED\xA0\x80",
                                  "\xED\xBF\xBF",
                                  "\xF0\x80\x80\x80",
                                  "\xF0\x8F\xBF\xBF",
                                  "\xF0\x9F\x98",
                                  "\xF4\x90\x80\x80",
                                  "\xF5\x80\x80\x80",
                                  "\xF8\x88\x80\x80\x80",
                                  "\xFC\x84\x80\x80\x80\x80",
                                  "\xFE",
                                  "\xFF",
                                  "\xC3\xC3\xA9"}) {
    for (const std::size_t fill : {0, 1, 15, 31, 60, 63, 200}) {
      const std::string x(fill, 'x');
      EXPECT_NE(usage_fault(fmt::format(R"("a":"{0}{1}{0}")", x, bytes)), "");
      EXPECT_NE(usage_fault(fmt::format(R"("{0}{1}":1e400)", x, bytes)), "");
      EXPECT_NE(usage_fault(fmt::format(R"("a":{1}"{0}")", x, bytes)), "");
    }
  }
  EXPECT_EQ(usage_fault("\"\xF4\x8F\xBF\xBF\":\"\xED\x9F\xBF\xEE\x80\x80\xC2\x80\""), "");
}

TEST_F(RecordParserTest, RefusesControlCharacters) {
  for (int c = 0; c < 0x20; ++c) {
    const char character = static_cast<char>(c);
    EXPECT_NE(usage_fault(fmt::format("\"a\":\"x{}y\"", character)), "") << c;
    const bool is_blank = c == '\n' || c == '\r' || c == '\t';
    EXPECT_EQ(usage_fault(fmt::format("\"a\":{}1", character)) == "", is_blank) << c;
    EXPECT_EQ(usage_fault(fmt::format("\"a\":1{}", character)) == "", is_blank) << c;
  }
}

TEST_F(RecordParserTest, RefusesWhatIsNotOneObject) {
  for (const char* const text : {"[]",
                                 "1",
                                 "null",
                                 "\"{}\"",
                                 "}",
                                 "{",
                                 "{{}}",
                                 "{}{}",
                                 "{},{}",
                                 "{} 1",
                                 "{\"a\"}",
                                 "{\"a\":}",
                                 "{\"a\":1,}",
                                 "{,}",
                                 "{a:1}",
                                 "{'a':1}",
                                 "{\"a\":1 \"b\":2}",
                                 "{\"a\":[1}",
                                 "{\"a\":[1]]",
                                 "{\"a\":tru}",
                                 "{\"a\":nulll}",
                                 "{\"a\":True}",
                                 "{\"a\":\"\\x\"}",
                                 "{\"a\":\"\\u12g4\"}",
                                 "{\"a\":\"\\u123\"}",
                                 "{\"a\":\"}",
                                 "{\"a\":1}}",
                                 "{\"a\":/**/1}",
                                 "{\"a\":1}//",
                                 "{\"a\":[1,]}",
                                 "{\"a\":[,1]}",
                                 "{1:2}"}) {
    EXPECT_NE(fault(Kind::Usage, text), "") << text;
  }
  for (const std::string_view text :
       {std::string_view("{}\0", 3), std::string_view("{\0}", 3), std::string_view("\0{}", 3)}) {
    EXPECT_NE(fault(Kind::Usage, text).find("JSON"), std::string::npos);
  }
}

TEST_F(RecordParserTest, SaysWhereTheSyntaxIsWrong) {
  EXPECT_EQ(fault(Kind::Usage, R"({"id":1 "a":2})").substr(0, 36),
            "it is not valid JSON, at its byte 8:");
  EXPECT_EQ(fault(Kind::Usage, R"({"id":1e400 "a":2})").substr(0, 37),
            "it is not valid JSON, at its byte 12:");
}

TEST_F(RecordParserTest, ReadsRecordsOfAnyLengthUpToItsLimit) {
  for (const std::size_t length : {1u, 100u, 64u * 1024, (1u << 20) - 100}) {
    EXPECT_EQ(usage_fault(fmt::format(R"("a":"{}")", std::string(length, 'x'))), "");
    EXPECT_EQ(usage_fault(fmt::format(R"("a":1e400,"b":"{}")", std::string(length - 1, 'x'))), "");
  }
}

}  // namespace
}  // namespace sluice::ingest
