#include "ingest/redaction.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "ingest/padded_text.h"
#include "ingest/random_json.h"

namespace sluice::ingest {
namespace {

// {"alg":"HS256","typ":"JWT"} . {"sub":"1"} . signature
constexpr std::string_view kJwt =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0.c2ln-_bmF0dXJl";

// `text` when there is nothing to redact.
std::string redacted(std::string_view text) {
  const http::Body body = make_body(text);
  return redact(body.view()).value_or(std::string(text));
}

TEST(Redaction, IsForTheEventsThatCarryTokens) {
  for (int type = -1; type < 100; ++type) {
    EXPECT_EQ(carries_tokens(type), type == 36 || type == 37 || type == 40) << type;
  }
}

TEST(Redaction, ReplacesStringsWhoseKeyNamesASecret) {
  EXPECT_EQ(
      redacted(R"({"a":1 ,"token" : "s" , "activationTOKEN":"x","b":{"MyJwtHere":"\u0041\""}})"),
      R"({"a":1 ,"token" : "redacted" , "activationTOKEN":"redacted",)"
      R"("b":{"MyJwtHere":"redacted"}})");
  EXPECT_EQ(redacted(R"({"to\u006Ben":"s","\u004aWT":""})"),
            R"({"to\u006Ben":"redacted","\u004aWT":"redacted"})");
  EXPECT_EQ(redacted(R"({"tokens":["a",["b"],1,null,{"c":"kept","token":"d"}]})"),
            R"({"tokens":["redacted",["redacted"],1,null,{"c":"kept","token":"redacted"}]})");
}

TEST(Redaction, LeavesEverythingElseAsItIs) {
  for (const std::string& text :
       {std::string("{}"),
        std::string(R"({"token":5,"jwt":null,"Token":true,"jwts":[],"t":"token"})"),
        std::string(
            R"({"description":"token jwt","user":{"name":"x"},"cost":1.0000000000,"n":1e400})"),
        fmt::format(R"({{"link":"{}"}})", kJwt)}) {
    const http::Body body = make_body(text);
    EXPECT_EQ(redact(body.view()), std::nullopt) << text;
  }
}

TEST(Redaction, ReplacesJwtsAnywhereInDetailAndDescription) {
  const auto filled = [](std::string text, std::string_view with) {
    for (std::size_t at = 0; (at = text.find('%', at)) != text.npos;) text.replace(at, 1, with);
    return text;
  };
  for (const char* const record :
       {R"({"description":"%"})", R"({"detail":"%","x":1})", R"({"detail":{"a":["%"]}})",
        R"({"description":"see https:\/\/portal.example.com\/?a=1&t=%#x."})",
        R"({"user":{"description":"\"%\""}})", R"({"detail":"Bearer_%"})",
        R"({"detail":"\u0041=% and % too"})", R"({"d\u0065tail":"a.b.% 9.9.9.9"})"}) {
    EXPECT_EQ(redacted(filled(record, kJwt)), filled(record, "redacted"));
  }
}

TEST(Redaction, SeesThroughEscapes) {
  std::string escaped;
  for (const char c : kJwt) escaped += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
  EXPECT_EQ(redacted(fmt::format(R"({{"detail":"\u00e9{}\n","x":"{}"}})", escaped, escaped)),
            fmt::format(R"({{"detail":"\u00e9redacted\n","x":"{}"}})", escaped));
}

TEST(Redaction, KnowsAJwtByItsThreePartsAndItsHeader) {
  const auto is_redacted = [](std::string_view text) {
    const std::string record = fmt::format(R"({{"detail":"{}"}})", text);
    return redacted(record) != record;
  };
  EXPECT_TRUE(is_redacted("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."));  // alg none: no signature
  EXPECT_TRUE(is_redacted("ewogICJhbGciOiAiSFMyNTYiCn0.e30.c2ln"));  // a header of several lines
  EXPECT_TRUE(is_redacted("eyAiYWxnIjoiSFMyNTYifQ.e30.c2ln"));
  EXPECT_FALSE(is_redacted("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0"));  // two parts
  EXPECT_FALSE(is_redacted("eyJhbGciOiJub25lIn0..c2ln"));
  EXPECT_FALSE(is_redacted("Invalid password from IP 9.9.9.9, agent Mozilla.5.0"));
  EXPECT_FALSE(is_redacted("keyserver-01.prod.example.com"));
  EXPECT_FALSE(is_redacted("eyes.example.com"));
}

TEST(Redaction, TakesLongStringsInItsStride) {
  const std::string run(200'000, 'e');
  const std::string record = fmt::format(R"({{"detail":"{0}.{0}.{0}"}})", run);
  EXPECT_EQ(redacted(record), record);
}

// All values but those with a secret's key come through, and the text stays valid.
TEST(Redaction, ChangesNothingElseInRandomRecords) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  RandomJson json(seed);
  for (int round = 0; round < 3000; ++round) {
    const std::string plain = json.object("");
    if (plain.find("token") != plain.npos) continue;
    const std::string hidden = json.string();
    const auto with = [&](std::string_view secret) {
      return fmt::format(R"({{"a":{0},"token":{1},"detail":[{0},{{"jwt" :{1} }}]}})", plain,
                         secret);
    };
    ASSERT_EQ(redacted(with(hidden)), with("\"redacted\""));
  }
}

}  // namespace
}  // namespace sluice::ingest
