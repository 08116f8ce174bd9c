// JSON bodies, queries and times as text.

#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>
#include <random>

#include "api/json_text.h"
#include "api/query.h"
#include "api/stream_json.h"

namespace sluice::api {
namespace {

using namespace std::string_view_literals;

std::string outcome(std::string_view text, DuplicateKeys keys = DuplicateKeys::LastCounts) {
  const Result<nlohmann::json> value = parse_json(text, keys);
  return value ? to_text(*value) : value.error().message;
}

TEST(JsonText, SaysWhereAndQuotesNothing) {
  EXPECT_EQ(outcome(R"({"key": "s3cret" "s3cret"})"), "not JSON: cannot be read at byte 25");
  EXPECT_EQ(outcome("{}\0s3cret"sv), "not JSON: a NUL byte at byte 3");
  EXPECT_EQ(outcome("[1e999]"), "not JSON: a number is too large");
}

TEST(JsonText, RefusesWhatRfc8259Refuses) {
  for (const std::string_view text :
       {""sv, " "sv, "{}{}"sv, "{} x"sv, "{'a':1}"sv, "{a:1}"sv, "[1,]"sv, "[01]"sv, "[+1]"sv,
        "NaN"sv, "// c\n1"sv, "\"\xff\""sv, "\"\\ud800\""sv, "\"\t\""sv, "\"\\x\""sv, "tru"sv}) {
    EXPECT_FALSE(parse_json(text, DuplicateKeys::LastCounts)) << text;
  }
}

TEST(JsonText, OfDuplicateKeysTheLastCountsOrNoneIsTaken) {
  EXPECT_EQ(outcome(R"({"a":1,"b":{"a":2},"a":3})"), R"({"a":3,"b":{"a":2}})");
  EXPECT_EQ(outcome(R"({"a":1,"b":{"a":2}})", DuplicateKeys::Refused), R"({"a":1,"b":{"a":2}})");
  for (const char* text : {R"({"a":1,"a":1})", R"([{"b":{"a":1,"a":2}}])", R"({"a":1,"\u0061":2})",
                           R"([{},{"a":1,"b":[{}],"a":1}])"}) {
    EXPECT_EQ(outcome(text, DuplicateKeys::Refused), "a key stands twice in one object") << text;
  }
}

TEST(JsonText, BoundsTheDepth) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_EQ(outcome(nested(kJsonDepthMax)), nested(kJsonDepthMax));
  EXPECT_EQ(outcome(nested(kJsonDepthMax + 1)), "nested deeper than 64");
  EXPECT_EQ(outcome(nested(500'000)), "nested deeper than 64");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += R"({"a":[)";
  EXPECT_FALSE(parse_json(objects, DuplicateKeys::Refused));
}

TEST(JsonText, SurvivesBrokenBytes) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::string good = R"({"a":[1,2.5,-3e4,true,null,"x\u00e4\"",{"b":{}}],"c":"d"})";
  for (int i = 0; i < 20'000; ++i) {
    std::string text = good;
    for (unsigned n = random() % 4; n > 0; --n) {
      text[random() % text.size()] = static_cast<char>(random());
    }
    const Result<nlohmann::json> value = parse_json(text, DuplicateKeys::Refused);
    if (value) {
      EXPECT_EQ(outcome(to_text(*value)), to_text(*value));
    }
  }
}

constexpr std::array<std::string_view, 2> kKnown = {"organisation_id", "validate"};

std::string query_outcome(std::string_view raw) {
  const Result<Query> query = Query::parse(raw, kKnown);
  return query ? std::string(query->find("organisation_id").value_or("none"))
               : query.error().message;
}

TEST(Query, DecodesWhatItKnowsAndRefusesTheRest) {
  EXPECT_EQ(query_outcome(""), "none");
  EXPECT_EQ(query_outcome("organisation_id=7"), "7");
  EXPECT_EQ(query_outcome("&&organisation%5Fid=%37+x%2b&"), "7 x+");
  EXPECT_EQ(query_outcome("organisation_id"), "");
  EXPECT_EQ(query_outcome("validate=1&organisation_id=a=b"), "a=b");
  EXPECT_EQ(query_outcome("page=1"), "query: page is not a parameter of this call");
  EXPECT_EQ(query_outcome("validate=1&validate=1"), "query: validate is given twice");
  for (const char* broken : {"validate=%", "validate=%2", "validate=%zz", "%=1"}) {
    EXPECT_EQ(query_outcome(broken), "query: a % escape is broken") << broken;
  }
}

TEST(Query, ReadsFlags) {
  const auto flag = [](const char* raw) {
    return Query::parse(raw, kKnown)->boolean("validate", true);
  };
  EXPECT_TRUE(*flag(""));
  EXPECT_TRUE(*flag("validate=true"));
  EXPECT_TRUE(*flag("validate=1"));
  EXPECT_FALSE(*flag("validate=false"));
  EXPECT_FALSE(*flag("validate=0"));
  EXPECT_FALSE(flag("validate=no"));
  EXPECT_FALSE(flag("validate="));
}

TEST(Rfc3339, HasMillisecondsAndZ) {
  EXPECT_EQ(rfc3339(WallTime{0}), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(rfc3339(WallTime{1'795'291'200'007}), "2026-11-21T20:00:00.007Z");
  EXPECT_EQ(rfc3339(WallTime{951'827'696'789}), "2000-02-29T12:34:56.789Z");
  EXPECT_EQ(rfc3339(WallTime{-1}), "1969-12-31T23:59:59.999Z");
}

}  // namespace
}  // namespace sluice::api
