#include "formats/json_lines.h"

#include <gtest/gtest.h>

namespace sluice::formats {
namespace {

TEST(JsonLines, KeepsTheBytesOfARecordThatIsALine) {
  std::string out = "before\n";
  append_json_line(out, R"({"id" : 1,  "cost":0.10, "text":"a\nb"})");
  EXPECT_EQ(out, "before\n{\"id\" : 1,  \"cost\":0.10, \"text\":\"a\\nb\"}\n");
}

TEST(JsonLines, MinifiesOneThatHoldsLineBreaks) {
  std::string out;
  append_json_line(out, "{\r\n  \"id\" : 1,\n  \"text\": \"a  b\"\n}");
  append_json_line(out, "{}");
  EXPECT_EQ(out, "{\"id\":1,\"text\":\"a  b\"}\n{}\n");
}

}  // namespace
}  // namespace sluice::formats
