#include "ingest/splitter.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <vector>

#include "ingest/padded_text.h"
#include "ingest/random_json.h"

namespace sluice::ingest {
namespace {

struct Split {
  std::vector<std::string> records;
  std::vector<std::uint32_t> lines;
  std::string fault;
};

Split split(std::string_view text, Framing framing) {
  const http::Body body = make_body(text);
  Splitter splitter(body.view(), framing);
  Split result;
  while (const auto record = splitter.next()) {
    result.records.emplace_back(record->bytes);
    result.lines.push_back(record->line);
  }
  result.fault = splitter.fault();
  EXPECT_EQ(splitter.next().has_value(), false);
  return result;
}

using Records = std::vector<std::string>;
using Lines = std::vector<std::uint32_t>;

TEST(Splitter, FindsNothingInAnEmptyBody) {
  for (const char* const text : {"", " ", "\n\r\n\t", "\xEF\xBB\xBF", "\xEF\xBB\xBF \n"}) {
    for (const Framing framing : {Framing::Json, Framing::Lines}) {
      const Split result = split(text, framing);
      EXPECT_TRUE(result.records.empty() && result.fault.empty()) << text;
    }
  }
  for (const char* const text : {"[]", " [ \n ] \n", "\xEF\xBB\xBF[]"}) {
    const Split result = split(text, Framing::Json);
    EXPECT_TRUE(result.records.empty() && result.fault.empty()) << text;
  }
}

TEST(Splitter, CountsLinesWithTheBlankOnes) {
  const Split result =
      split("\xEF\xBB\xBF{\"a\":1}\r\n\r\n  \t\n {\"b\":2}\t\r\nx\n{}", Framing::Lines);
  EXPECT_EQ(result.records, (Records{"{\"a\":1}", "{\"b\":2}", "x", "{}"}));
  EXPECT_EQ(result.lines, (Lines{1, 4, 5, 6}));
  EXPECT_EQ(result.fault, "");
}

TEST(Splitter, TakesOneObjectAnArrayAndObjectsInARow) {
  const Records both{R"({"a":"}{"})", R"({"b":[{},[]]})"};
  for (const char* const text :
       {R"([{"a":"}{"},{"b":[{},[]]}])", " [\r\n{\"a\":\"}{\"} ,\t{\"b\":[{},[]]}\n]\n ",
        R"({"a":"}{"}{"b":[{},[]]})", "\n{\"a\":\"}{\"}\n\n  {\"b\":[{},[]]}\n"}) {
    const Split result = split(text, Framing::Json);
    EXPECT_EQ(result.records, both) << text;
    EXPECT_EQ(result.lines, (Lines{0, 0}));
    EXPECT_EQ(result.fault, "");
  }
  EXPECT_EQ(split("{\n\"a\"\n:1}", Framing::Json).records, Records{"{\n\"a\"\n:1}"});
}

TEST(Splitter, LeavesElementsThatAreNoObjectsToTheParser) {
  const Split result = split(R"([1, "a,]\"", [ {} ], null ,x y])", Framing::Json);
  EXPECT_EQ(result.records, (Records{"1", R"("a,]\"")", "[ {} ]", "null", "x"}));
  EXPECT_NE(result.fault.find("at byte 29"), std::string::npos) << result.fault;
}

TEST(Splitter, SaysWhatIsWrongWithABodyAndWhere) {
  struct Case {
    const char* text;
    std::size_t byte;
  };
  for (const auto& [text, byte] : {Case{"x", 0},     {" null", 1},
                                   {"\"{}\"", 0},    {"{} x", 3},
                                   {"{},{}", 2},     {"{}]", 2},
                                   {"{}[]", 2},      {"[", 1},
                                   {"[ ", 2},        {"[{}", 3},
                                   {"[{},", 4},      {"[{},]", 4},
                                   {"[,{}]", 1},     {"[{},,{}]", 4},
                                   {"[{} {}]", 4},   {"[{}{}]", 3},
                                   {"[{}]x", 4},     {"[{}] []", 5},
                                   {"[{}],", 4},     {"[{]", 3},
                                   {"[{}}", 3},      {"[}", 1},
                                   {"[:", 1},        {"{", 0},
                                   {"{\"a", 0},      {"[{\"a\":\"}]", 1},
                                   {"[\"a]", 1},     {"[{}, [", 5},
                                   {"\xFF\xFE{", 0}, {"--boundary\r\n", 0}}) {
    const Split result = split(text, Framing::Json);
    EXPECT_NE(result.fault.find(fmt::format("at byte {}:", byte)), std::string::npos)
        << text << '\n'
        << result.fault;
  }
  EXPECT_NE(split(std::string_view("\0{}", 3), Framing::Json).fault, "");
  EXPECT_NE(split(std::string_view("{}\0", 3), Framing::Json).fault, "");
}

// Records -> body -> the same bytes again, in each layout.
TEST(Splitter, GivesBackEachRecordsOwnBytes) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  RandomJson json(seed);
  for (int round = 0; round < 3000; ++round) {
    Records records;
    for (std::size_t left = json.below(6); left > 0; --left) records.push_back(json.object(""));
    std::string array = json.blanks() + "[" + json.blanks();
    std::string row = json.blanks();
    std::string lines = json.below(2) == 0 ? "\xEF\xBB\xBF" : "";
    Lines numbers;
    Records one_a_line;
    std::uint32_t line = 0;
    for (std::size_t i = 0; i < records.size(); ++i) {
      array += (i > 0 ? "," : "") + json.blanks() + records[i] + json.blanks();
      row += records[i] + json.blanks();
      one_a_line.push_back(records[i]);
      for (char& c : one_a_line.back()) c = c == '\n' ? ' ' : c;
      for (; json.below(4) == 0; ++line) lines += json.one_of(std::array{"\n", " \r\n"});
      lines += std::string(json.below(3), ' ') + one_a_line.back();
      lines += json.one_of(std::array{"\n", "\r\n", "\t\n"});
      numbers.push_back(++line);
    }
    array += "]" + json.blanks();
    for (const std::string& text : {array, row}) {
      const Split result = split(text, Framing::Json);
      ASSERT_EQ(result.records, records) << text;
      ASSERT_EQ(result.fault, "") << text;
    }
    const Split result = split(lines, Framing::Lines);
    ASSERT_EQ(result.records, one_a_line) << lines;
    ASSERT_EQ(result.lines, numbers) << lines;
  }
}

}  // namespace
}  // namespace sluice::ingest
