#include "ingest/body_reader.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "ingest/padded_text.h"
#include "ingest/random_json.h"

namespace sluice::ingest {
namespace {

using http::ErrorToken;

std::string usage(std::uint64_t id, std::string_view more = "") {
  return fmt::format(R"({{"id":{},"end_timestamp":"2026-01-01 00:00:00"{}}})", id, more);
}
std::string of_organisation(std::uint64_t id, std::uint64_t organisation) {
  return usage(id, fmt::format(R"(,"organisation":{{"id":{}}})", organisation));
}

class BodyReaderTest : public testing::Test {
 protected:
  BodyReaderTest() {
    options_ = {.kind = Kind::Usage, .framing = Framing::Lines, .token = OrganisationId{1}};
  }
  Batch accept(std::string_view text) {
    body_ = make_body(text);
    auto result = read_body({body_.data(), body_.size()}, options_, parser_);
    if (const Refusal* const refusal = std::get_if<Refusal>(&result)) {
      ADD_FAILURE() << refusal->message << '\n' << answer(*refusal).body;
      return {};
    }
    return std::get<Batch>(std::move(result));
  }
  Refusal refuse(std::string_view text) {
    body_ = make_body(text);
    auto result = read_body({body_.data(), body_.size()}, options_, parser_);
    EXPECT_TRUE(std::holds_alternative<Refusal>(result)) << text;
    EXPECT_EQ(body_.view(), text) << "a refused body is left alone";
    return std::holds_alternative<Refusal>(result) ? std::get<Refusal>(result) : Refusal{};
  }

  ReadOptions options_;
  RecordParser parser_{1 << 20};
  http::Body body_;
};

TEST_F(BodyReaderTest, AcceptsNothingFromAnEmptyBody) {
  EXPECT_EQ(accept("").records, 0u);
  options_.framing = Framing::Json;
  EXPECT_EQ(accept(" [ ] ").records, 0u);
}

TEST_F(BodyReaderTest, GroupsByOrganisationAndKeepsTheOrder) {
  options_.token.reset();
  std::string text;
  std::map<std::uint64_t, std::vector<std::string>> expected;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::uint64_t organisation = i * i % 37;
    expected[organisation].push_back(of_organisation(i, organisation));
    text += expected[organisation].back() + "\n";
  }
  const Batch batch = accept(text);
  EXPECT_EQ(batch.records, 1000u);
  EXPECT_EQ(batch.bytes, text.size() - 1000);
  ASSERT_EQ(batch.groups.size(), expected.size());
  ASSERT_EQ(batch.organisations.size(), expected.size());
  for (std::size_t i = 0; i < batch.groups.size(); ++i) {
    EXPECT_EQ(batch.organisations[i].id, batch.groups[i].organisation);
    EXPECT_EQ(batch.groups[i].kind, Kind::Usage);
    std::vector<std::string> found;
    for (const auto& record : batch.groups[i].records) found.emplace_back(record.bytes);
    EXPECT_EQ(found, expected[batch.groups[i].organisation.value()]);
  }
}

TEST_F(BodyReaderTest, TakesTheFirstNameThatARecordGivesItsOrganisation) {
  options_.token.reset();
  const Batch batch = accept(
      of_organisation(1, 5) + "\n" + usage(2, R"(,"organisation":{"id":5,"name":"Five"})") + "\n" +
      usage(3, R"(,"organisation":{"id":5,"name":"V"})") + "\n" +
      usage(4, fmt::format(R"(,"organisation":{{"id":6,"name":"{}"}})", std::string(257, 'x'))));
  ASSERT_EQ(batch.organisations.size(), 2u);
  EXPECT_EQ(batch.name_of(batch.organisations[0]), "Five");
  EXPECT_EQ(batch.name_of(batch.organisations[1]), "");
}

TEST_F(BodyReaderTest, FindsTheOrganisationInTheSpecifiedOrder) {
  options_.token.reset();
  options_.requested = OrganisationId{9};
  const Batch named = accept(of_organisation(1, 5) + "\n" +
                             usage(2, R"(,"organisation":{"id":"x","name":"Other"})"));
  ASSERT_EQ(named.groups.size(), 1u);
  EXPECT_EQ(named.groups[0].organisation, OrganisationId{9});
  EXPECT_EQ(named.name_of(named.organisations[0]), "") << "another organisation's name";

  options_.requested.reset();
  EXPECT_EQ(accept(of_organisation(1, 5)).groups[0].organisation, OrganisationId{5});

  const Refusal nameless = refuse(usage(1));
  EXPECT_EQ(nameless.token, ErrorToken::InvalidRecord);
  EXPECT_EQ(nameless.faults.at(0).message.substr(0, 26), "organisation.id is missing");
  EXPECT_EQ(refuse(usage(1, R"(,"organisation":{"id":"x"})")).faults.at(0).message.substr(0, 22),
            "organisation.id is not");

  options_.token = OrganisationId{5};
  EXPECT_EQ(accept(usage(1)).groups[0].organisation, OrganisationId{5});
}

TEST_F(BodyReaderTest, KeepsABoundTokenToItsOrganisation) {
  options_.token = OrganisationId{5};
  const Refusal refusal =
      refuse(of_organisation(1, 5) + "\n" + usage(2) + "\n" + of_organisation(3, 6));
  EXPECT_EQ(refusal.token, ErrorToken::Forbidden);
  EXPECT_NE(refusal.message.find("index 2"), std::string::npos);
}

TEST_F(BodyReaderTest, AnUnboundTokensOrganisationIsForRecordsThatNameNone) {
  options_.token = OrganisationId{5};
  options_.token_bound = false;
  const Batch batch = accept(usage(1) + "\n" + of_organisation(2, 6));
  ASSERT_EQ(batch.groups.size(), 2u);
  EXPECT_EQ(batch.groups[0].organisation, OrganisationId{5});
  EXPECT_EQ(batch.groups[1].organisation, OrganisationId{6});
}

TEST_F(BodyReaderTest, NamesIndexAndLineOfEachBadRecord) {
  const Refusal refusal =
      refuse("\n" + usage(0) + "\nrubbish\r\n\n" + usage(2) + "\n{\"id\":3}\n{\"a\":\"\xFF\"}\n[]");
  EXPECT_EQ(refusal.token, ErrorToken::InvalidRecord);
  EXPECT_EQ(refusal.message.substr(0, 20), "4 of the 6 records a");
  ASSERT_EQ(refusal.faults.size(), 4u);
  const std::vector<std::pair<std::uint32_t, std::uint32_t>> expected{
      {1, 3}, {3, 6}, {4, 7}, {5, 8}};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(std::pair(refusal.faults[i].index, refusal.faults[i].line), expected[i]);
  }
  options_.framing = Framing::Json;
  const Refusal array = refuse("[" + usage(0) + ",5,{\"id\":\"\xC0\x80\"}," + usage(3) + "]");
  ASSERT_EQ(array.faults.size(), 2u);
  EXPECT_EQ(array.faults[0].index, 1u);
  EXPECT_EQ(array.faults[1].index, 2u);
  EXPECT_EQ(array.faults[1].line, 0u);
}

TEST_F(BodyReaderTest, AnswersWithTheTripleAndTheErrors) {
  const auto json = nlohmann::json::parse(answer(refuse(usage(0) + "\n{\"id\":\"1\"}")).body);
  EXPECT_EQ(json["error_code"], 4221);
  EXPECT_EQ(json["error_token"], "InvalidRecord");
  ASSERT_EQ(json["errors"].size(), 1u);
  EXPECT_EQ(json["errors"][0]["index"], 1);
  EXPECT_EQ(json["errors"][0]["line"], 2);
  EXPECT_EQ(json["errors"][0]["message"].get<std::string>().substr(0, 20), "id is not an integer");
  options_.framing = Framing::Json;
  EXPECT_FALSE(nlohmann::json::parse(answer(refuse("[5]")).body)["errors"][0].contains("line"));
}

TEST_F(BodyReaderTest, ListsTheFirst100Errors) {
  std::string text;
  for (int i = 0; i < 250; ++i) text += usage(1) + "\n{}\n";
  const Refusal refusal = refuse(text);
  EXPECT_EQ(refusal.faults.size(), 100u);
  EXPECT_EQ(refusal.faults.back().index, 199u);
  EXPECT_EQ(refusal.message.substr(0, 23), "250 of the 500 records ");
  EXPECT_NE(refusal.message.find("first 100"), std::string::npos);
}

TEST_F(BodyReaderTest, StopsCountingWhenThereIsNothingButRubbish) {
  std::string text;
  for (std::size_t i = 0; i < kFaultsCountedMax + 5; ++i) text += "x\n";
  EXPECT_EQ(refuse(text).message.substr(0, 15), "More than 10000");
}

TEST_F(BodyReaderTest, AFaultOfTheBodyOutweighsFaultsOfRecords) {
  options_.framing = Framing::Json;
  const Refusal refusal = refuse("[" + usage(1) + ",{\"id\":1}");
  EXPECT_EQ(refusal.token, ErrorToken::MalformedBody);
  EXPECT_TRUE(refusal.faults.empty());
  EXPECT_NE(refusal.message.find("index 1"), std::string::npos);
  EXPECT_EQ(refuse("[" + usage(1) + "]]").token, ErrorToken::MalformedBody);
  EXPECT_EQ(refuse("hello").token, ErrorToken::MalformedBody);
}

TEST_F(BodyReaderTest, HoldsRecordsToTheirLimit) {
  for (const Framing framing : {Framing::Lines, Framing::Json}) {
    options_.framing = framing;
    const std::string fits =
        usage(1, ",\"x\":\"" + std::string((1 << 20) - usage(1, R"(,"x":"")").size(), 'x') + "\"");
    ASSERT_EQ(fits.size(), 1u << 20);
    EXPECT_EQ(accept(fits + "\n").records, 1u);
    const Refusal refusal = refuse(usage(1) + "\n{}\n " + fits.substr(0, fits.size() - 1) + " }\n");
    EXPECT_EQ(refusal.token, ErrorToken::RecordTooLarge);
    EXPECT_NE(refusal.message.find("index 2"), std::string::npos);
    EXPECT_NE(refusal.message.find("1048576 bytes"), std::string::npos);
  }
}

TEST_F(BodyReaderTest, SkipsInvalidRecordsAndHandsThemOver) {
  options_.skip_invalid = true;
  options_.token.reset();
  options_.token_bound = false;
  const std::string no_time = R"({"id":7,"organisation":{"id":9}})";
  const Batch batch = accept(of_organisation(1, 5) + "\nrubbish\n" + of_organisation(2, 5) + "\n" +
                             no_time + "\n" + usage(3) + "\n" + of_organisation(4, 5));
  EXPECT_EQ(batch.records, 3u);
  ASSERT_EQ(batch.groups.size(), 1u);
  EXPECT_EQ(batch.groups[0].records.back().bytes, of_organisation(4, 5));
  ASSERT_EQ(batch.rejected.size(), 3u);
  EXPECT_EQ(batch.rejected[0].bytes, "rubbish");
  EXPECT_EQ(batch.rejected[0].fault.index, 1u);
  EXPECT_EQ(batch.rejected[0].fault.line, 2u);
  EXPECT_EQ(batch.rejected[0].organisation, std::nullopt);
  EXPECT_EQ(batch.rejected[1].bytes, no_time);
  EXPECT_EQ(batch.rejected[1].organisation, OrganisationId{9});
  EXPECT_EQ(batch.rejected[2].bytes, usage(3));
  EXPECT_NE(batch.rejected[2].fault.message.find("organisation.id is missing"), std::string::npos);
}

TEST_F(BodyReaderTest, ARejectedRecordOfABoundTokenIsItsOrganisations) {
  options_.skip_invalid = true;
  const Batch batch = accept(R"({"id":7,"organisation":{"id":9}})");
  EXPECT_EQ(batch.rejected.at(0).organisation, OrganisationId{1});
  options_.requested = OrganisationId{1};
  options_.token.reset();
  EXPECT_EQ(accept("x").rejected.at(0).organisation, OrganisationId{1});
}

TEST_F(BodyReaderTest, SkippingForgivesRecordsAlone) {
  options_.skip_invalid = true;
  EXPECT_EQ(refuse(usage(1) + "\n" + of_organisation(2, 6)).token, ErrorToken::Forbidden);
  EXPECT_EQ(refuse("x\n" + std::string((1 << 20) + 1, 'x')).token, ErrorToken::RecordTooLarge);
  options_.framing = Framing::Json;
  const Refusal unreadable = refuse("[" + usage(1) + ",{\"id\":1}");
  EXPECT_EQ(unreadable.token, ErrorToken::MalformedBody);
  EXPECT_NE(unreadable.message.find("index 1"), std::string::npos);
}

TEST_F(BodyReaderTest, SkipsSoManyAndNoMore) {
  options_.skip_invalid = true;
  std::string text;
  for (std::size_t i = 0; i < kRejectedMax; ++i) text += "x\n";
  EXPECT_EQ(accept(text).rejected.size(), kRejectedMax);
  const Refusal refusal = refuse(text + "x\n");
  EXPECT_EQ(refusal.token, ErrorToken::InvalidRecord);
  EXPECT_EQ(refusal.message.substr(0, 16), "More than 100000");
}

// So that the log can write neighbours as they lie.
TEST_F(BodyReaderTest, JoinsNeighboursWithCommas) {
  options_.token.reset();
  const std::string a = of_organisation(1, 5), b = of_organisation(2, 6);
  const auto joined = [&](std::string_view text) {
    accept(text);
    return std::string(body_.view());
  };
  EXPECT_EQ(joined(a + "\n" + a + "\n" + a + "\n"), a + "," + a + "," + a + "\n");
  EXPECT_EQ(joined(a + "\r\n" + a), a + "\r\n" + a);
  EXPECT_EQ(joined(a + "\n\n" + a), a + "\n\n" + a);
  EXPECT_EQ(joined(a + "\n" + b + "\n" + b), a + "\n" + b + "," + b);
  EXPECT_EQ(joined(a + "\n" + b + "\n" + a), a + "\n" + b + "\n" + a);
  options_.framing = Framing::Json;
  EXPECT_EQ(joined("[" + a + "," + a + ", " + a + "]"), "[" + a + "," + a + ", " + a + "]");
  EXPECT_EQ(joined(a + " " + a + a + "\n"), a + "," + a + a + "\n");
}

TEST_F(BodyReaderTest, RedactsBeforeAnythingIsStored) {
  options_.kind = Kind::Event;
  const auto event = [](int type, std::string_view secret) {
    return fmt::format(R"({{"id":1,"timestamp":"2026-01-01 00:00:00","event_type":{{"id":{}}},)"
                       R"("token":"{}"}})",
                       type, secret);
  };
  const std::string text = event(1, "kept") + "\n" + event(36, "s3cret") + "\n" +
                           event(40, "s3cret") + "\n" + event(1, "kept");
  const Batch batch = accept(text);
  const auto& records = batch.groups.at(0).records;
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(records[0].bytes, event(1, "kept"));
  EXPECT_EQ(records[1].bytes, event(36, "redacted"));
  EXPECT_EQ(records[2].bytes, event(40, "redacted"));
  EXPECT_EQ(records[3].bytes, event(1, "kept"));
  EXPECT_EQ(records[1].columns.type_id, 36);

  options_.redact_tokens = false;
  EXPECT_EQ(accept(text).groups.at(0).records.at(1).bytes, event(36, "s3cret"));
}

// Random records with one organisation each, some damaged: all or nothing, and the right ones.
TEST_F(BodyReaderTest, ReadsRandomBodiesInEachLayout) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  RandomJson json(seed);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::string> records;
    std::vector<std::uint32_t> bad;
    for (std::uint32_t i = 0; i < json.below(20); ++i) {
      const bool is_bad = json.below(40) == 0;
      if (is_bad) bad.push_back(i);
      records.push_back(json.object(
          fmt::format(R"("id":{},"end_timestamp":"2026-01-01 00:00:00")", is_bad ? "1.5" : "1")));
      std::replace(records.back().begin(), records.back().end(), '\n', '\t');
    }
    options_.framing = json.below(2) == 0 ? Framing::Lines : Framing::Json;
    const bool array = options_.framing == Framing::Json && json.below(2) == 0;
    const std::string text =
        fmt::format(fmt::runtime(array ? "[{}]" : "{}"), fmt::join(records, array ? "," : "\n"));
    if (!bad.empty()) {
      const Refusal refusal = refuse(text);
      std::vector<std::uint32_t> found;
      for (const RecordFault& fault : refusal.faults) found.push_back(fault.index);
      ASSERT_EQ(found, bad) << text;
      continue;
    }
    const Batch batch = accept(text);
    ASSERT_EQ(batch.records, records.size()) << text;
    for (std::size_t i = 0; i < records.size(); ++i) {
      ASSERT_EQ(batch.groups.at(0).records.at(i).bytes, records[i]);
    }
  }
}

}  // namespace
}  // namespace sluice::ingest
