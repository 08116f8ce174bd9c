#include "ingest/request_head.h"

#include <gtest/gtest.h>

namespace sluice::ingest {
namespace {

using http::ErrorToken;

class RequestHeadTest : public testing::Test {
 protected:
  RequestHeadTest() {
    head_.method = "POST";
    head_.path = "/api/v2/records/usage";
    head_.content_length = 10;
    settings_.installation = "here";
    settings_.body_bytes_max = 1000;
    identity_.role = Role::Operator;
  }
  void with(std::string_view name, std::string_view value) { head_.headers = {{name, value}}; }
  std::variant<HeadOptions, Refusal> read() const { return read_head(head_, identity_, settings_); }
  // None: it is not refused.
  std::optional<ErrorToken> refusal() const {
    const auto result = read();
    const Refusal* const refused = std::get_if<Refusal>(&result);
    return refused != nullptr ? std::optional(refused->token) : std::nullopt;
  }

  http::RequestHead head_;
  Identity identity_;
  Settings settings_;
};

TEST_F(RequestHeadTest, LetsIngestAndOperatorIn) {
  with("Content-Type", "application/json");
  for (const Role role :
       {Role::Operator, Role::Admin, Role::Developer, Role::Viewer, Role::Ingest}) {
    identity_.role = role;
    const bool may = role == Role::Operator || role == Role::Ingest;
    EXPECT_EQ(refusal(), may ? std::nullopt : std::optional(ErrorToken::Forbidden));
  }
}

TEST_F(RequestHeadTest, ReadsTheContentType) {
  for (const char* const type :
       {"application/json", "Application/JSON", "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"", " application/json ;x=y"}) {
    with("content-type", type);
    const auto result = read();
    ASSERT_TRUE(std::holds_alternative<HeadOptions>(result)) << type;
    EXPECT_EQ(std::get<HeadOptions>(result).framing, Framing::Json);
  }
  with("Content-Type", "application/x-ndjson; charset=utf-8");
  EXPECT_EQ(std::get<HeadOptions>(read()).framing, Framing::Lines);
  for (const char* const type : {"", "text/plain", "application/jsonx", "application/jso",
                                 "application/ndjson", ";application/json", "json"}) {
    with("Content-Type", type);
    EXPECT_EQ(refusal(), ErrorToken::UnsupportedMediaType) << type;
  }
}

TEST_F(RequestHeadTest, NeedsNoContentTypeForAnEmptyBody) {
  head_.content_length = 0;
  EXPECT_EQ(refusal(), std::nullopt);
  head_.content_length.reset();
  EXPECT_EQ(refusal(), std::nullopt);
  with("Transfer-Encoding", "chunked");
  EXPECT_EQ(refusal(), ErrorToken::UnsupportedMediaType);
}

TEST_F(RequestHeadTest, KnowsTheEncodingsItCanUnpack) {
  const std::pair<const char*, Encoding> known[] = {
      {"", Encoding::Identity}, {"identity", Encoding::Identity}, {"Identity", Encoding::Identity},
      {"gzip", Encoding::Gzip}, {" GZip\t", Encoding::Gzip},      {"x-gzip", Encoding::Gzip},
      {"zstd", Encoding::Zstd}};
  for (const auto& [name, encoding] : known) {
    head_.headers = {{"Content-Type", "application/json"}, {"content-encoding", name}};
    const auto result = read();
    ASSERT_TRUE(std::holds_alternative<HeadOptions>(result)) << name;
    EXPECT_EQ(std::get<HeadOptions>(result).encoding, encoding) << name;
  }
}

TEST_F(RequestHeadTest, RefusesOtherEncodingsAndSaysWhichItTakes) {
  for (const char* const encoding : {"br", "deflate", "identity, gzip", "gzip,", "gzip;q=1"}) {
    head_.headers = {{"Content-Type", "application/json"}, {"Content-Encoding", encoding}};
    EXPECT_EQ(refusal(), ErrorToken::UnsupportedEncoding) << encoding;
  }
  head_.headers = {{"Content-Type", "application/json"},
                   {"Content-Encoding", "gzip"},
                   {"Content-Encoding", "gzip"}};
  EXPECT_EQ(refusal(), ErrorToken::UnsupportedEncoding);
  const http::Response response = answer(std::get<Refusal>(read()));
  EXPECT_EQ(response.headers.at(0),
            std::pair(std::string("Accept-Encoding"), std::string("gzip, zstd")));
}

TEST_F(RequestHeadTest, RefusesABodyThatIsAnnouncedTooLarge) {
  with("Content-Type", "application/json");
  head_.content_length = 1000;
  EXPECT_EQ(refusal(), std::nullopt);
  head_.content_length = 1001;
  EXPECT_EQ(refusal(), ErrorToken::BodyTooLarge);
  EXPECT_NE(std::get<Refusal>(read()).message.find("1000 bytes"), std::string::npos);
}

TEST_F(RequestHeadTest, BreaksLoops) {
  for (const char* const hops : {"here:1", "there:1, here:2", "there:1,here:9 ,else:1", "here"}) {
    head_.headers = {{"Content-Type", "application/json"}, {"x-sluice-hops", hops}};
    EXPECT_EQ(refusal(), ErrorToken::Loop) << hops;
  }
  for (const char* const hops :
       {"", "there:1", "here2:1", "nowhere:1", "there:1,,:", "there:here"}) {
    head_.headers = {{"Content-Type", "application/json"}, {"X-Sluice-Hops", hops}};
    EXPECT_EQ(refusal(), std::nullopt) << hops;
  }
  head_.headers = {{"Content-Type", "application/json"},
                   {"X-Sluice-Hops", "there:1"},
                   {"X-Sluice-Hops", "here:1"}};
  EXPECT_EQ(refusal(), ErrorToken::Loop);
}

TEST_F(RequestHeadTest, ReadsTheQuery) {
  with("Content-Type", "application/json");
  for (const char* const query : {"", "&", "organisation_id=7", "&organisation_id=7&"}) {
    head_.query = query;
    const auto result = read();
    ASSERT_TRUE(std::holds_alternative<HeadOptions>(result)) << query;
    const bool named = head_.query.size() > 1;
    EXPECT_EQ(std::get<HeadOptions>(result).organisation,
              named ? std::optional(OrganisationId{7}) : std::nullopt);
  }
  for (const char* const query :
       {"organisation_id", "organisation_id=", "organisation_id=x", "organisation_id=-1",
        "organisation_id=1.0", "organisation_id=+1", "organisation_id=9223372036854775808",
        "organisation_id=%31", "organisation_id=1&organisation_id=1", "organisation=1",
        "on_invalid", "on_invalid=Skip", "on_invalid=skip&on_invalid=skip",
        "organisation_id=1&dry_run", "Organisation_id=1", "=1"}) {
    head_.query = query;
    EXPECT_EQ(refusal(), ErrorToken::BadQuery) << query;
  }
  head_.query = "organisation_id=1&on_error=skip";
  EXPECT_NE(std::get<Refusal>(read()).message.find("\"on_error\""), std::string::npos);
}

TEST_F(RequestHeadTest, SkipsInvalidRecordsOnlyWhenAsked) {
  with("Content-Type", "application/json");
  for (const auto& [query, skips] : {std::pair{"", false},
                                     {"on_invalid=refuse", false},
                                     {"organisation_id=1&on_invalid=skip", true}}) {
    head_.query = query;
    const auto result = read();
    ASSERT_TRUE(std::holds_alternative<HeadOptions>(result)) << query;
    EXPECT_EQ(std::get<HeadOptions>(result).skip_invalid, skips) << query;
  }
}

TEST_F(RequestHeadTest, ReadsTheIdempotencyKey) {
  const auto with_key = [this](std::string_view key) {
    head_.headers = {{"Content-Type", "application/json"}, {"idempotency-key", key}};
  };
  with("Content-Type", "application/json");
  EXPECT_EQ(std::get<HeadOptions>(read()).idempotency_key, "");
  const std::string longest(255, '~');
  for (const std::string_view key : {std::string_view("a"), std::string_view(longest),
                                     std::string_view("with blanks, \"quotes\"")}) {
    with_key(key);
    ASSERT_TRUE(std::holds_alternative<HeadOptions>(read())) << key;
    EXPECT_EQ(std::get<HeadOptions>(read()).idempotency_key, key);
  }
  const std::string too_long(256, '~');
  for (const std::string_view key :
       {std::string_view(""), std::string_view(" \t"), std::string_view(too_long),
        std::string_view("a\tb"), std::string_view("caf\xc3\xa9"), std::string_view("\x7f")}) {
    with_key(key);
    ASSERT_EQ(refusal(), ErrorToken::BadHeader) << key;
    EXPECT_NE(std::get<Refusal>(read()).message.find("Idempotency-Key"), std::string::npos);
  }
  head_.headers = {
      {"Content-Type", "application/json"}, {"Idempotency-Key", "a"}, {"Idempotency-Key", "a"}};
  EXPECT_EQ(refusal(), ErrorToken::BadHeader);
}

TEST_F(RequestHeadTest, KeepsABoundTokenToItsOrganisation) {
  with("Content-Type", "application/json");
  identity_.organisation = OrganisationId{7};
  identity_.role = Role::Ingest;
  head_.query = "organisation_id=7";
  EXPECT_EQ(refusal(), std::nullopt);
  head_.query = "organisation_id=8";
  EXPECT_EQ(refusal(), ErrorToken::Forbidden);
  identity_.role = Role::Operator;  // may write for all
  EXPECT_EQ(refusal(), std::nullopt);
}

}  // namespace
}  // namespace sluice::ingest
