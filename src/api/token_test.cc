#include "api/token.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

namespace sluice::api {
namespace {

class ManualClock final : public Clock {
 public:
  WallTime now() const override { return {wall_ms}; }
  SteadyTime steady() const override { return SteadyTime(std::chrono::milliseconds(steady_ms)); }
  std::int64_t wall_ms = 1'800'000'000'000;
  std::int64_t steady_ms = 0;
};

TokenKey test_key() {
  TokenKey key;
  for (std::size_t i = 0; i < key.bytes.size(); ++i) key.bytes[i] = static_cast<unsigned char>(i);
  return key;
}

// Written apart from the code under test: OpenSSL's base64, then the two other characters.
std::string encode(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  text.resize(static_cast<std::size_t>(EVP_EncodeBlock(
      reinterpret_cast<unsigned char*>(text.data()),
      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()))));
  while (text.ends_with('=')) text.pop_back();
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  return text;
}

std::string mac(const EVP_MD* digest, std::string_view text) {
  std::string bytes(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  const TokenKey key = test_key();
  HMAC(digest, key.bytes.data(), key.bytes.size(),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(),
       reinterpret_cast<unsigned char*>(bytes.data()), &size);
  bytes.resize(size);
  return bytes;
}

std::string make(std::string_view header, std::string_view claims) {
  const std::string text = encode(header) + "." + encode(claims);
  return text + "." + encode(mac(EVP_sha256(), text));
}

constexpr std::string_view kHeader = R"({"alg":"HS256","typ":"JWT"})";
constexpr std::string_view kClaims =
    R"({"sub":"alice","org":399921,"role":"admin","exp":2000000000})";

// Made with `openssl dgst -sha256 -mac HMAC` and the key 00 01 .. 1f.
constexpr std::string_view kKnown =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJzdWIiOiJhbGljZSIsIm9yZyI6Mzk5OTIxLCJyb2xlIjoiYWRtaW4iLCJleHAiOjIwMDAwMDAwMDB9."
    "av1txheyHc8VhsM2qNn_9tlHmEEOwi_OCYamz6CfEMY";

class TokenTest : public testing::Test {
 protected:
  std::string refusal(std::string_view token) {
    const Result<Identity> identity = verifier.verify(token);
    return identity ? "accepted" : identity.error().message;
  }
  bool accepts(std::string_view token) { return verifier.verify(token).has_value(); }

  ManualClock clock;
  LiveTokens live;
  TokenVerifier verifier{test_key(), {}, clock, live};
};

TEST_F(TokenTest, AcceptsAKnownToken) {
  ASSERT_EQ(make(kHeader, kClaims), kKnown);
  const Result<Identity> identity = verifier.verify(kKnown);
  ASSERT_TRUE(identity) << identity.error().message;
  EXPECT_EQ(identity->subject, "alice");
  EXPECT_EQ(identity->organisation, OrganisationId{399921});
  EXPECT_EQ(identity->role, Role::Admin);
}

TEST_F(TokenTest, WhatItSignsIsAJwtThatItAccepts) {
  for (const Role role :
       {Role::Operator, Role::Admin, Role::Developer, Role::Viewer, Role::Ingest}) {
    const Identity identity{"a \"subject\" \xc3\xa4", OrganisationId{(1ull << 63) - 1}, role};
    const std::string token =
        sign_token(test_key(), identity, clock.now(), WallTime{clock.wall_ms + 1999});
    const Result<Identity> back = verifier.verify(token);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->subject, identity.subject);
    EXPECT_EQ(back->organisation, identity.organisation);
    EXPECT_EQ(back->role, role);
  }
  const std::string unbound = sign_token(test_key(), {"feed", std::nullopt, Role::Ingest},
                                         clock.now(), WallTime{clock.wall_ms + 5000});
  EXPECT_EQ(verifier.verify(unbound)->organisation, std::nullopt);
}

TEST_F(TokenTest, RefusesEveryOtherAlgorithm) {
  for (const char* header :
       {R"({"alg":"none"})", R"({"alg":"None"})", R"({"alg":"hs256"})", R"({"alg":"HS512"})",
        R"({"alg":"RS256"})", R"({"alg":"ES256"})", R"({"alg":""})", R"({"alg":null})",
        R"({"alg":["HS256"]})", R"({"typ":"JWT"})", R"({})"}) {
    EXPECT_EQ(refusal(make(header, kClaims)),
              "the token is not signed with HS256, and has no iss of another issuer")
        << header;
  }
  // With the signature that the other algorithm would have.
  const std::string none = encode(R"({"alg":"none"})") + "." + encode(kClaims) + ".";
  EXPECT_FALSE(accepts(none));
  const std::string text = encode(R"({"alg":"HS512"})") + "." + encode(kClaims);
  EXPECT_FALSE(accepts(text + "." + encode(mac(EVP_sha512(), text))));
}

TEST_F(TokenTest, RefusesKeysThatComeWithTheTokenAndCrit) {
  for (const char* extra :
       {R"("jwk":{"kty":"oct","k":"AAAA"})", R"("jku":"https://example.com/")", R"("x5c":["AAAA"])",
        R"("x5u":"https://example.com/")", R"("crit":["exp"],"exp":1)", R"("crit":[])"}) {
    const std::string header = fmt::format(R"({{"alg":"HS256",{}}})", extra);
    EXPECT_NE(refusal(make(header, kClaims)).find("is not accepted"), std::string::npos) << extra;
  }
}

TEST_F(TokenTest, ToleratesWhatHarmsNobodyInTheHeader) {
  EXPECT_TRUE(accepts(make(R"({"alg":"HS256"})", kClaims)));
  EXPECT_TRUE(accepts(make(R"({"typ":"at+jwt","alg":"HS256","kid":"1","x":{}})", kClaims)));
}

TEST_F(TokenTest, RefusesAChangedByteAnywhere) {
  const std::string good(kKnown);
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string changed = good;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(accepts(changed)) << i;
    EXPECT_FALSE(accepts(good.substr(0, i))) << i;
    EXPECT_FALSE(accepts(good.substr(0, i) + good.substr(i + 1))) << i;
  }
  EXPECT_TRUE(accepts(good));
}

TEST_F(TokenTest, RefusesAnotherSpellingOfTheSameBytes) {
  const std::string good(kKnown);
  // The last digit of a 32-byte signature has two bits to spare: Y = 24, Z = 25.
  ASSERT_TRUE(good.ends_with('Y'));
  EXPECT_FALSE(accepts(good.substr(0, good.size() - 1) + "Z"));
  for (const char* junk : {"=", "==", " ", "\n", ".", ".x"}) {
    EXPECT_FALSE(accepts(good + junk));
    EXPECT_FALSE(accepts(junk + good));
  }
  EXPECT_FALSE(accepts(good + std::string(1, '\0')));
  std::string standard = good;
  std::ranges::replace(standard, '_', '/');
  EXPECT_FALSE(accepts(standard));
}

TEST_F(TokenTest, RefusesWhatIsNoJwt) {
  for (const char* text : {"", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", "Bearer x", "{}"}) {
    EXPECT_FALSE(accepts(text)) << text;
  }
}

TEST_F(TokenTest, RefusesSignedRubbish) {
  for (const char* claims : {"", "[]", "null", "1", "{", "{}x", "{\"exp\":2000000000}", "\xff"}) {
    EXPECT_FALSE(accepts(make(kHeader, claims))) << claims;
    EXPECT_FALSE(accepts(make(claims, kClaims))) << claims;
  }
  const std::string deep = std::string(2000, '[') + std::string(2000, ']');
  EXPECT_FALSE(
      accepts(make(kHeader, R"({"exp":2000000000,"role":"viewer","org":1,"x":)" + deep + "}")));
}

TEST_F(TokenTest, RefusesClaimsThatMakeNoSense) {
  for (const char* claims : {
           R"({"sub":"a","org":1,"role":"admin"})",                         // no exp
           R"({"sub":"a","org":1,"role":"admin","exp":"2000000000"})",      //
           R"({"sub":"a","org":1,"role":"admin","exp":null})",              //
           R"({"sub":"a","org":1,"role":"admin","exp":true})",              //
           R"({"sub":"a","org":1,"role":"admin","exp":1e300})",             //
           R"({"sub":"a","org":1,"role":"admin","exp":1e999})",             //
           R"({"sub":"a","org":1,"exp":2000000000})",                       // no role
           R"({"sub":"a","org":1,"role":"root","exp":2000000000})",         //
           R"({"sub":"a","org":1,"role":["admin"],"exp":2000000000})",      //
           R"({"sub":"a","role":"admin","exp":2000000000})",                // no org
           R"({"sub":"a","org":null,"role":"operator","exp":2000000000})",  //
           R"({"sub":"a","org":"1","role":"admin","exp":2000000000})",      //
           R"({"sub":"a","org":-1,"role":"admin","exp":2000000000})",       //
           R"({"sub":"a","org":1.0,"role":"admin","exp":2000000000})",      //
           R"({"sub":"a","org":9223372036854775808,"role":"admin","exp":2000000000})",
           R"({"sub":7,"org":1,"role":"admin","exp":2000000000})",              //
           R"({"sub":"a","org":1,"role":"admin","exp":2000000000,"nbf":"x"})",  //
           R"({"sub":"a","org":1,"org":2,"role":"admin","exp":2000000000})",    // twice
           R"({"sub":"a","org":1,"role":"viewer","role":"admin","exp":2000000000})",
       }) {
    EXPECT_FALSE(accepts(make(kHeader, claims))) << claims;
  }
}

TEST_F(TokenTest, HoldsFromNbfUntilExp) {
  const std::string token =
      make(kHeader, R"({"sub":"a","org":1,"role":"viewer","nbf":1800000001,"exp":1800000002.5})");
  EXPECT_EQ(refusal(token), "the token is not valid yet");
  clock.wall_ms = 1'800'000'001'000;
  EXPECT_TRUE(accepts(token));
  clock.wall_ms = 1'800'000'002'499;
  EXPECT_TRUE(accepts(token));
  clock.wall_ms = 1'800'000'002'500;  // remembered, and over all the same
  EXPECT_EQ(refusal(token), "the token has expired");
}

TEST_F(TokenTest, RefusesLongTokens) {
  const std::string padding(TokenVerifier::kTokenBytesMax, 'x');
  EXPECT_EQ(refusal(make(kHeader, R"({"sub":")" + padding +
                                      R"(","org":1,"role":"viewer","exp":2000000000})")),
            "the token is too long");
}

TEST_F(TokenTest, RefusalsRepeatNothingOfTheToken) {
  const std::string message =
      refusal(make(kHeader, R"({"sub":"s3cret","role":"s3cret","exp":2000000000,"org":1})"));
  EXPECT_EQ(message.find("s3cret"), std::string::npos) << message;
}

TEST_F(TokenTest, RemembersManyWithoutMixingThem) {
  for (int round = 0; round < 2; ++round) {
    for (std::uint64_t org = 0; org < 10'000; ++org) {
      const std::string token = sign_token(test_key(), {"a", OrganisationId{org}, Role::Viewer},
                                           clock.now(), WallTime{clock.wall_ms + 100'000});
      ASSERT_EQ(verifier.verify(token)->organisation, OrganisationId{org});
    }
    clock.steady_ms += 61'000;
  }
}

TEST_F(TokenTest, VerifiesOnManyThreads) {
  std::vector<std::jthread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (std::uint64_t i = 0; i < 2000; ++i) {
        const OrganisationId org{(i + t) % 50};
        const std::string token = sign_token(test_key(), {"a", org, Role::Viewer}, clock.now(),
                                             WallTime{clock.wall_ms + 100'000});
        const Result<Identity> identity = verifier.verify(token);
        EXPECT_TRUE(identity && identity->organisation == org);
      }
    });
  }
}

TEST_F(TokenTest, RandomTextIsNeverAccepted) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  constexpr std::string_view kCharacters = "abcXYZ019-_.=+/ {}\"";
  for (int i = 0; i < 20'000; ++i) {
    std::string text(random() % 80, ' ');
    for (char& c : text) c = kCharacters[random() % kCharacters.size()];
    ASSERT_FALSE(accepts(text)) << text;
  }
}

class TokenKeyTest : public testing::Test {
 protected:
  TokenKeyTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "token-XXXXXX").string();
    directory = ::mkdtemp(pattern.data());
    path = directory + "/token.key";
  }
  ~TokenKeyTest() override { std::filesystem::remove_all(directory); }

  std::string directory;
  std::string path;
};

TEST_F(TokenKeyTest, IsMadeOnceAndReadableByItsOwnerAlone) {
  const Result<TokenKey> first = load_or_create_token_key(path);
  ASSERT_TRUE(first) << first.error().message;
  const Result<TokenKey> second = load_or_create_token_key(path);
  EXPECT_EQ(first->bytes, second->bytes);
  EXPECT_NE(first->bytes, TokenKey{}.bytes);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(status.st_size, 32);
}

TEST_F(TokenKeyTest, AllWhoComeAtOnceGetTheSameKeyAndLeaveNothingBehind) {
  std::vector<TokenKey> keys(16);
  {
    std::vector<std::jthread> threads;
    for (TokenKey& key : keys) {
      threads.emplace_back([this, &key] {
        const Result<TokenKey> loaded = load_or_create_token_key(path);
        ASSERT_TRUE(loaded) << loaded.error().message;
        key = *loaded;
      });
    }
  }
  for (const TokenKey& key : keys) EXPECT_EQ(key.bytes, keys.front().bytes);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory), {}), 1);
}

TEST_F(TokenKeyTest, RefusesAFileOfAnotherLength) {
  for (const std::size_t size : {0, 31, 33, 4096}) {
    std::ofstream(path, std::ios::trunc) << std::string(size, 'k');
    const Result<TokenKey> key = load_or_create_token_key(path);
    ASSERT_FALSE(key) << size;
    EXPECT_EQ(key.error().code, ErrorCode::Corruption);
  }
}

TEST_F(TokenKeyTest, AMissingDirectoryIsAnError) {
  const Result<TokenKey> key = load_or_create_token_key(directory + "/missing/token.key");
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().code, ErrorCode::Io);
}

}  // namespace
}  // namespace sluice::api
