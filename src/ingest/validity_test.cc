// Goal: the parser's word on what is valid JSON is the word of the RFC. Method: random JSON, most
// of it damaged, against RapidJSON with its known gaps filled in the most obvious way.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>
#include <regex.h>

#include "ingest/json_text.h"
#include "ingest/padded_text.h"
#include "ingest/random_json.h"
#include "ingest/record_parser.h"

namespace sluice::ingest {
namespace {

// Stops at too many levels, and at what an escaped lone low surrogate is unescaped to.
struct Strict : rapidjson::BaseReaderHandler<rapidjson::UTF8<>, Strict> {
  bool StartObject() { return ++depth <= 64; }
  bool StartArray() { return ++depth <= 64; }
  bool EndObject(rapidjson::SizeType) { return depth-- > 0; }
  bool EndArray(rapidjson::SizeType) { return depth-- > 0; }
  bool Key(const char* text, rapidjson::SizeType size, bool) {
    return has_no_surrogate(text, size);
  }
  bool String(const char* text, rapidjson::SizeType size, bool) {
    return has_no_surrogate(text, size);
  }
  static bool has_no_surrogate(const char* text, std::size_t size) {
    for (std::size_t i = 0; i + 1 < size; ++i) {
      if (text[i] == '\xED' && static_cast<unsigned char>(text[i + 1]) >= 0xA0) return false;
    }
    return true;
  }
  int depth = 0;
};

const regex_t& number_pattern() {
  static const regex_t kPattern = [] {
    regex_t pattern;
    const char* const number = "^-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][-+]?[0-9]+)?";
    EXPECT_EQ(regcomp(&pattern, number, REG_EXTENDED), 0);
    return pattern;
  }();
  return kPattern;
}

bool is_valid_json(std::string text) {
  for (const char c : text) {  // to RapidJSON a NUL is the end
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r' && c != '\t') return false;
  }
  for (;;) {
    rapidjson::MemoryStream stream(text.data(), text.size());
    rapidjson::Reader reader;
    Strict strict;
    const rapidjson::ParseResult result =
        reader.Parse<rapidjson::kParseValidateEncodingFlag | rapidjson::kParseNumbersAsStringsFlag>(
            stream, strict);
    if (result.Code() != rapidjson::kParseErrorNumberTooBig) return !result.IsError();
    regmatch_t number;
    if (regexec(&number_pattern(), text.c_str() + result.Offset(), 1, &number, 0) != 0)
      return false;
    text.replace(result.Offset(), static_cast<std::size_t>(number.rm_eo), "0 ");
  }
}

TEST(Validity, TheObviousEvaluatorKnowsTheRules) {
  EXPECT_TRUE(is_valid_json(R"({"a":[1e400,-99999999999999999999,"\ud83d\ude00"]})"));
  EXPECT_FALSE(is_valid_json(R"({"a":"\ude00"})"));
  EXPECT_FALSE(is_valid_json(R"({"a":"\ud83d"})"));
  EXPECT_FALSE(is_valid_json(R"({"a":1e400e5})"));
  EXPECT_FALSE(is_valid_json("{\"a\":\"\xFF\"}"));
  EXPECT_TRUE(is_valid_json(std::string(64, '[') + std::string(64, ']')));
  EXPECT_FALSE(is_valid_json(std::string(65, '[') + std::string(65, ']')));
}

TEST(Validity, AgreesWithTheObviousEvaluator) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  RandomJson json(seed, /*nesting_max=*/70);
  RecordParser parser(1 << 20);
  int valid = 0;
  constexpr int kRounds = 200'000;
  for (int round = 0; round < kRounds; ++round) {
    std::string value = json.value();
    if (json.below(4) != 0) value = json.mutated(std::move(value));
    const std::string record =
        fmt::format(R"({{"id":1,"end_timestamp":"2026-01-01T00:00:00Z","x":{}}})", value);
    const http::Body body = make_body(record);
    const Result<ParsedRecord> parsed = parser.parse(Kind::Usage, body.view());
    // A valid record may still lack something; only the text's own faults begin with "it".
    const bool accepted = parsed.has_value() || !parsed.error().message.starts_with("it ");
    ASSERT_EQ(accepted, is_valid_json(record)) << record << '\n'
                                               << (parsed ? "accepted" : parsed.error().message);
    valid += accepted ? 1 : 0;
  }
  EXPECT_GT(valid, kRounds / 5);
  EXPECT_LT(valid, kRounds * 4 / 5);
}

// The mask must not change what is valid, whatever it covers.
TEST(Validity, MaskingNumbersKeepsValidTextValidAndInvalidTextInvalid) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  RandomJson json(seed);
  for (int round = 0; round < 100'000; ++round) {
    std::string text = "[" + json.number() + "," + json.number() + "]";
    if (json.below(3) != 0) text = json.mutated(std::move(text));
    std::string masked = text;
    mask_numbers(masked);
    ASSERT_EQ(masked.size(), text.size());
    ASSERT_EQ(is_valid_json(masked), is_valid_json(text)) << text << '\n' << masked;
  }
}

}  // namespace
}  // namespace sluice::ingest
