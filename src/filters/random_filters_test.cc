// Goal: a filter says of any record what the rules say. Method: random filters on random records
// with every oddity that vendors and parsers have, against the slow evaluator.

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <random>

#include "filters/slow_filter.h"
#include "support/filters_fixture.h"

namespace sluice::filters {
namespace {

using nlohmann::json;

class Random {
 public:
  explicit Random(std::uint64_t seed) : random_(seed) {}

  std::size_t below(std::size_t bound) { return random_() % bound; }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <class Choices>
  const auto& one_of(const Choices& choices) {
    return choices[below(choices.size())];
  }

  // Few, so that filters meet them; in different spellings.
  std::string number_text() {
    static const std::vector<std::string> kNumbers = {"0",
                                                      "-0",
                                                      "0.0",
                                                      "1",
                                                      "1.0",
                                                      "10e-1",
                                                      "0.1e1",
                                                      "2",
                                                      "5",
                                                      "5.0",
                                                      "6",
                                                      "127",
                                                      "128",
                                                      "-1",
                                                      "2.5",
                                                      "25e-1",
                                                      "-2.5",
                                                      "0.00558275",
                                                      "0.0055827500",
                                                      "0.0055827501",
                                                      "2147483647",
                                                      "2147483648",
                                                      "-2147483649",
                                                      "9007199254740992",
                                                      "9007199254740993",
                                                      "9223372036854775807",
                                                      "9223372036854775808",
                                                      "-9223372036854775808",
                                                      "-9223372036854775809",
                                                      "18446744073709551615",
                                                      "18446744073709551616",
                                                      "1e400",
                                                      "-1e400",
                                                      "1e-400",
                                                      "123456789012345678901234567890",
                                                      "262",
                                                      "310"};
    return one_of(kNumbers);
  }
  std::string word() {
    static const std::vector<std::string> kWords = {
        "",    "a",  "ab", "abc", "b",  "02",    "de",       "\xC3\xA9", "true", "false",
        "yes", "1 ", " 1", "01",  "+1", "90143", "10.0.0.1", "a\"b",     "a\\b"};
    return one_of(kWords);
  }
  std::string string_text() { return one_in(2) ? number_text() : word(); }

  std::string blanks() { return one_in(6) ? " \t\r\n" : ""; }
  std::string quoted(const std::string& text) {
    if (one_in(8) && !text.empty() && static_cast<unsigned char>(text[0]) >= ' ' && text[0] > 0 &&
        text[0] != '"' && text[0] != '\\') {
      return fmt::format("\"\\u{:04x}{}", static_cast<int>(text[0]), json(text).dump().substr(2));
    }
    return json(text).dump();
  }

  // JSON text of a value that may stand at the end of a path.
  std::string scalar() {
    switch (below(10)) {
      case 0: return "null";
      case 1: return one_in(2) ? "true" : "false";
      case 2: return one_in(2) ? "{}" : "[1, {\"mnc\": \"02\"}]";
      case 3:
      case 4:
      case 5: return number_text();
      default: return quoted(string_text());
    }
  }

  // An object with some of the members that fields lie in, some of them twice.
  struct Member {
    std::string name;
    std::vector<Member> members;
    bool list = false;
  };
  std::string object(const std::vector<Member>& members, const std::string& first = "") {
    std::string text = "{" + first;
    bool comma = !first.empty();
    const auto add = [&](const Member& member) {
      text += (comma ? "," : "") + blanks() + quoted(member.name) + blanks() + ":" + blanks() +
              value(member) + blanks();
      comma = true;
    };
    for (const Member& member : members) {
      if (one_in(4)) continue;
      add(member);
      if (one_in(10)) add(members[below(members.size())]);
      if (one_in(10)) add({"other", {{"id", {}}, {"mnc", {}}}, false});
    }
    return text + blanks() + "}";
  }
  std::string value(const Member& member) {
    if (member.members.empty() || one_in(10)) return scalar();
    if (!member.list) return object(member.members);
    std::string text = "[";
    for (std::size_t i = below(4); i > 0; --i) {
      text += (one_in(6) ? scalar() : object(member.members)) + (i > 1 ? "," : "");
    }
    return text + "]";
  }

  std::string record(Kind kind) {
    static const std::vector<Member> kCommon = {
        {"endpoint", {{"id", {}}, {"name", {}}, {"tags", {}}, {"ip_address", {}}, {"imei", {}}}},
        {"sim", {{"id", {}}, {"iccid", {}}, {"msisdn", {}}}},
        {"volume", {{"total", {}}, {"rx", {}}, {"tx", {}}}}};
    static const std::vector<Member> kDetail = {
        {"id", {}},
        {"country", {{"id", {}}, {"mcc", {}}, {"iso_code", {}}}},
        {"mnc", {{"id", {}}, {"mnc", {}}}, true},
        {"pdp_context",
         {{"apn", {}}, {"rat_type", {}}, {"mcc", {}}, {"mnc", {}}, {"ue_ip_address", {}}}},
        kCommon[2]};
    std::vector<Member> members = kCommon;
    std::string first = R"("id": 1, "timestamp": "2026-03-19T21:06:33Z")";
    members.push_back({"detail", kDetail});
    if (kind == Kind::Usage) {
      first += R"(, "end_timestamp": "2026-03-19T21:06:33Z")";
      for (const char* name : {"imsi", "cost"}) members.push_back({name, {}});
      members.push_back({"traffic_type", {{"id", {}}}});
      members.push_back({"tariff", {{"id", {}}, {"ratezone", {{"id", {}}}}}});
      members.push_back({"operator", {{"id", {}}, {"mnc", {}}, kDetail[1]}});
    } else {
      for (const char* name : {"alert", "description"}) members.push_back({name, {}});
      for (const char* name : {"event_severity", "event_source"}) {
        members.push_back({name, {{"id", {}}}});
      }
      members.push_back({"imsi", {{"imsi", {}}, {"id", {}}}});
    }
    std::shuffle(members.begin(), members.end(), random_);
    std::string text = object(members, first);
    if (kind == Kind::Event) {  // last, as it must be an integer
      static const std::vector<std::string> kTypes = {
          "0", "1", "2", "-1", "2147483647", "2147483648", "18446744073709551615"};
      text.pop_back();
      text += R"(, "event_type": {"id": )" + one_of(kTypes) + "}}";
    }
    return text;
  }

  json operand(slow::Field::Type type, bool integer) {
    switch (type) {
      case slow::Field::Kind: return one_in(2) ? "usage" : "event";
      case slow::Field::Flag: {
        static const std::vector<json> kFlags = {true, false, 1, 0, "true", "false", "1", "0"};
        return one_of(kFlags);
      }
      case slow::Field::Text: return one_in(4) ? json(below(3)) : json(string_text());
      case slow::Field::Number: break;
    }
    static const std::vector<json> kIntegers = {0,
                                                1,
                                                2,
                                                "5",
                                                "1.0",
                                                127,
                                                128,
                                                -1,
                                                2147483647,
                                                2147483648,
                                                INT64_MAX,
                                                INT64_MIN,
                                                "9007199254740993"};
    if (integer) return one_of(kIntegers);
    return one_in(3) ? json(one_in(2) ? 2.5 : 0.00558275) : json(number_text());
  }

  json test() {
    static const std::vector<std::string> kNumberOps = {"eq", "ne", "in", "lt",
                                                        "le", "gt", "ge", "exists"};
    static const std::vector<std::string> kTextOps = {"eq",     "ne",       "in",
                                                      "prefix", "contains", "exists"};
    const auto& row = *std::next(slow::fields().begin(),
                                 static_cast<std::ptrdiff_t>(below(slow::fields().size())));
    const slow::Field& field = row.second;
    const bool integer = row.first != "cost" && !row.first.starts_with("volume");
    std::string op = one_of(field.type == slow::Field::Number ? kNumberOps : kTextOps);
    if (field.type > slow::Field::Text && (op == "prefix" || op == "contains")) op = "eq";
    if (field.type == slow::Field::Kind && op == "exists") op = "ne";
    json clause = {{"field", row.first}};
    if (op == "exists") {
      clause["value"] = one_in(2);
    } else if (op == "in") {
      for (std::size_t i = 0; i <= below(4); ++i) {
        clause["value"].push_back(operand(field.type, integer));
      }
    } else {
      clause["value"] = operand(field.type, integer);
    }
    if ((op != "in" && op != "eq") || one_in(2)) clause["op"] = op;
    return clause;
  }

  json clauses(std::size_t count, std::size_t depth) {
    static const std::vector<std::string> kGroups = {"or", "and", "not"};
    json list = json::array();
    while (list.size() < count) {
      if (depth == 0 || !one_in(3)) {
        list.push_back(test());
      } else {
        list.push_back({{one_of(kGroups), clauses(1 + below(3), depth - 1)}});
      }
    }
    return list;
  }

 private:
  std::mt19937_64 random_;
};

std::uint64_t any_seed() {
  if (const char* given = std::getenv("SLUICE_SEED")) return std::strtoull(given, nullptr, 10);
  return static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
}

// As if ingest had found none of what may be absent.
RecordColumns without_what_may_be_absent(Kind kind, const RecordColumns& columns) {
  RecordColumns bare;
  if (kind == Kind::Event) bare.type_id = columns.type_id;
  return bare;
}

TEST(RandomFilters, SayWhatTheSlowEvaluatorSays) {
  const std::uint64_t seed = any_seed();
  SCOPED_TRACE(fmt::format("SLUICE_SEED={}", seed));
  Random random(seed);
  Evaluator evaluator;
  std::size_t compiled = 0;
  std::size_t passed = 0;
  std::size_t compared = 0;
  for (int round = 0; round < 800; ++round) {
    const KindSet kinds = random.one_in(3) ? kBoth : random.one_in(2) ? kUsageOnly : kEventsOnly;
    const json clauses = random.clauses(1 + random.below(3), 3);
    const auto made = Filter::compile(clauses, kinds);
    const auto* const filter = std::get_if<std::shared_ptr<const Filter>>(&made);
    compiled += filter != nullptr ? 1 : 0;
    for (int i = 0; i < 20 && filter != nullptr; ++i) {
      const Kind kind = kinds == kBoth        ? (random.one_in(2) ? Kind::Usage : Kind::Event)
                        : kinds == kUsageOnly ? Kind::Usage
                                              : Kind::Event;
      const std::string record = random.record(kind);
      const bool expected = slow::passes(clauses, kind, slow::tagged(record));
      const RecordColumns columns = columns_of(kind, record);
      const std::string about = fmt::format("{} on {}", clauses.dump(), record);
      ASSERT_EQ(evaluator.passes(**filter, kind, columns, record), expected) << about;
      ASSERT_EQ(evaluator.passes(**filter, kind, without_what_may_be_absent(kind, columns), record),
                expected)
          << about;
      if ((*filter)->columns_suffice()) {
        ASSERT_EQ(evaluator.passes(**filter, kind, columns, "not JSON"), expected) << about;
      }
      ASSERT_TRUE(expected || !(*filter)->passes_all()) << about;
      ++compared;
      passed += expected ? 1 : 0;
    }
  }
  // The test tests something: filters compile, and let some records through.
  EXPECT_GT(compiled, 200u);
  EXPECT_GT(passed, compared / 20);
  EXPECT_LT(passed, compared - compared / 20);
}

TEST(RandomFilters, ARefusedFilterKeepsBackAWholeKind) {
  const std::uint64_t seed = any_seed();
  SCOPED_TRACE(fmt::format("SLUICE_SEED={}", seed));
  Random random(seed);
  std::size_t refused = 0;
  for (int round = 0; round < 600; ++round) {
    const json clauses = random.clauses(1 + random.below(3), 3);
    const auto made = Filter::compile(clauses, kBoth);
    const auto* const found = std::get_if<std::vector<Fault>>(&made);
    if (found == nullptr) continue;
    ++refused;
    ASSERT_EQ(found->size(), 1u) << clauses;
    const Kind kind =
        found->at(0).message.find("every usage") != std::string::npos ? Kind::Usage : Kind::Event;
    for (int i = 0; i < 20; ++i) {
      const std::string record = random.record(kind);
      ASSERT_FALSE(slow::passes(clauses, kind, slow::tagged(record)))
          << clauses << " on " << record << ": " << found->at(0).message;
    }
  }
  EXPECT_GT(refused, 50u);
}

}  // namespace
}  // namespace sluice::filters
