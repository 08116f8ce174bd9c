#include "signing/verifier.h"

#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "signing/signer.h"

namespace sluice::signing {
namespace {

using nlohmann::json;

const std::string kSymmetric = "whsec_" + base64(std::string(32, 'k'));
const std::string kOther = "whsec_" + base64(std::string(32, 'o'));
const std::string kPrivate = "whsk_" + base64(std::string(32, 's'));
// Of kPrivate, by Python's cryptography.
const std::string kPublic = "whpk_/sFChnP2r+iSZLOAc0SuiyadElpQOFUgJofbWnEoV58=";
const std::string kDt = "any text";
constexpr WallTime kNow{1763800000'999};

WallTime later(std::int64_t seconds) { return {kNow.ms + seconds * 1000}; }

// A request that owns its bytes, for tests to change one by one.
struct Signed {
  std::string id = "7-1-100-104";
  std::string timestamp = "1763800000";
  std::string webhook_signature;
  std::string dt_signature;
  std::string body = R"([{"id":1},{"id":2}])";
};

Signed signed_with(const json& signing, WallTime now = kNow) {
  Signed request;
  const std::array<std::string_view, 2> body = {std::string_view(request.body).substr(0, 5),
                                                std::string_view(request.body).substr(5)};
  const Result<Settings> settings = read_settings(signing);
  EXPECT_TRUE(settings.has_value()) << settings.error().message;
  Signer::Headers headers;
  Signer(*settings, OrganisationId{1}, nullptr).sign({request.id, now, body}, headers);
  for (const auto& [name, value] : headers) {
    (name == "webhook-signature" ? request.webhook_signature : request.dt_signature) = value;
  }
  return request;
}

Signed webhook(const std::string& secret) {
  return signed_with({{"scheme", "standard-webhooks"}, {"secret", secret}});
}

Signed dt() { return signed_with({{"scheme", "dt"}, {"secret", kDt}}); }

Verification verify(const std::string& secret, const Signed& request, WallTime now = kNow) {
  const Result<Verifier> verifier = Verifier::create(secret);
  EXPECT_TRUE(verifier.has_value()) << verifier.error().message;
  const std::array<std::string_view, 1> body = {request.body};
  return verifier->verify(
      {request.id, request.timestamp, request.webhook_signature, request.dt_signature, body}, now);
}

Verdict verdict(const std::string& secret, const Signed& request, WallTime now = kNow) {
  return verify(secret, request, now).verdict;
}

// A token like the signer's with `claims` over its own, under any header.
std::string token(json header, const json& claims, const std::string& secret = kDt) {
  const std::string sound = dt().dt_signature;
  const std::size_t first = sound.find('.');
  json all = json::parse(*from_base64url(sound.substr(first + 1, sound.rfind('.') - first - 1)));
  all.merge_patch(claims);
  const std::string text = base64url(header.dump()) + "." + base64url(all.dump());
  return text + "." + base64url(hmac_sha256(secret, text, {}));
}

// Each request that has one bit of `request`'s text changed, or its last byte cut off.
template <class Test>
void with_each_change(Signed request, std::string Signed::*text, Test test) {
  const std::string sound = request.*text;
  for (std::size_t i = 0; i < sound.size(); ++i) {
    SCOPED_TRACE("byte " + std::to_string(i));
    (request.*text)[i] ^= 1;
    test(request);
    request.*text = sound;
  }
  SCOPED_TRACE("cut");
  (request.*text).pop_back();
  test(request);
}

TEST(Verifier, TakesWhatTheSignerSigned) {
  EXPECT_EQ(verify(kSymmetric, webhook(kSymmetric)).text, "signature valid");
  EXPECT_EQ(verdict(kSymmetric, webhook(kSymmetric)), Verdict::Valid);
  EXPECT_EQ(verdict(kPrivate, webhook(kPrivate)), Verdict::Valid);
  EXPECT_EQ(verdict(kPublic, webhook(kPrivate)), Verdict::Valid);
  EXPECT_EQ(verdict(kDt, dt()), Verdict::Valid);
  const Signed both =
      signed_with({{"scheme", {"dt", "standard-webhooks"}}, {"secret", kSymmetric}});
  EXPECT_EQ(verdict(kSymmetric, both), Verdict::Valid);
}

TEST(Verifier, TakesEitherSecretDuringAChange) {
  Signed request = signed_with({{"scheme", "standard-webhooks"},
                                {"secret", kPrivate},
                                {"previous_secret", kSymmetric},
                                {"previous_secret_until", kNow.ms + 1}});
  EXPECT_EQ(verdict(kPublic, request), Verdict::Valid);
  EXPECT_EQ(verdict(kSymmetric, request), Verdict::Valid);
  EXPECT_EQ(verdict(kOther, request), Verdict::Wrong);
  request = signed_with({{"scheme", "standard-webhooks"},
                         {"secret", kOther},
                         {"previous_secret", kSymmetric},
                         {"previous_secret_until", kNow.ms + 1}});
  EXPECT_EQ(verdict(kOther, request), Verdict::Valid);
  EXPECT_EQ(verdict(kSymmetric, request), Verdict::Valid);  // the second of the same version
}

TEST(Verifier, RefusesAnotherSecretsSignature) {
  EXPECT_EQ(verdict(kOther, webhook(kSymmetric)), Verdict::Wrong);
  EXPECT_EQ(verdict("whpk_" + base64(std::string(32, 'o')), webhook(kPrivate)), Verdict::Wrong);
  EXPECT_EQ(verdict("any other", dt()), Verdict::Wrong);
  EXPECT_EQ(verify("any other", dt()).text,
            "signature wrong: another secret, or the body was changed");
}

TEST(Verifier, RefusesEachChangeOfWhatIsSigned) {
  for (const auto& [secret, request] :
       {std::pair(kSymmetric, webhook(kSymmetric)), std::pair(kPublic, webhook(kPrivate))}) {
    const auto refuse = [&secret = secret](const Signed& changed) {
      EXPECT_NE(verdict(secret, changed), Verdict::Valid);
    };
    const auto refuse_as_wrong = [&secret = secret](const Signed& changed) {
      EXPECT_EQ(verdict(secret, changed), Verdict::Wrong);
    };
    with_each_change(request, &Signed::id, refuse_as_wrong);
    with_each_change(request, &Signed::timestamp, refuse_as_wrong);
    with_each_change(request, &Signed::body, refuse_as_wrong);
    with_each_change(request, &Signed::webhook_signature, refuse);  // of its version: missing
  }
  with_each_change(dt(), &Signed::body,
                   [](const Signed& changed) { EXPECT_EQ(verdict(kDt, changed), Verdict::Wrong); });
  with_each_change(dt(), &Signed::dt_signature,
                   [](const Signed& changed) { EXPECT_EQ(verdict(kDt, changed), Verdict::Wrong); });
}

TEST(Verifier, RefusesATimeThatIsNoNumberAlthoughSigned) {
  // The body's first byte moved into the time, over the same bytes.
  Signed request = webhook(kSymmetric);
  request.id = "7-1-100-104.1763800000";
  request.timestamp = "[{";
  request.body = "x";
  const std::string text = request.id + "." + request.timestamp + "." + request.body;
  request.webhook_signature = "v1," + base64(hmac_sha256(std::string(32, 'k'), text, {}));
  EXPECT_EQ(verdict(kSymmetric, request), Verdict::Wrong);
}

TEST(Verifier, MissesTheSignatureOfTheSecretsScheme) {
  const Signed unsigned_request;
  EXPECT_EQ(verdict(kSymmetric, unsigned_request), Verdict::Missing);
  EXPECT_EQ(verify(kSymmetric, unsigned_request).text,
            "signature missing: no webhook-signature in the request");
  EXPECT_EQ(verdict(kDt, unsigned_request), Verdict::Missing);
  EXPECT_EQ(verdict(kSymmetric, dt()), Verdict::Missing);
  EXPECT_EQ(verdict(kDt, webhook(kSymmetric)), Verdict::Missing);
  EXPECT_EQ(verdict(kPublic, webhook(kSymmetric)), Verdict::Missing);
  EXPECT_EQ(verdict(kSymmetric, webhook(kPrivate)), Verdict::Missing);
  EXPECT_EQ(verify(kSymmetric, webhook(kPrivate)).text,
            "signature missing: no v1 in webhook-signature: the stream has another kind of secret");
  for (std::string Signed::*header : {&Signed::id, &Signed::timestamp}) {
    Signed request = webhook(kSymmetric);
    (request.*header).clear();
    EXPECT_EQ(verdict(kSymmetric, request), Verdict::Missing);
  }
}

TEST(Verifier, ReadsPastWhatItDoesNotKnowInAHeader) {
  Signed request = webhook(kSymmetric);
  const std::string sound = request.webhook_signature;
  request.webhook_signature = "v2,abc v1  v1, v1a," + sound.substr(3) + " " + sound;
  EXPECT_EQ(verdict(kSymmetric, request), Verdict::Valid);
  request.webhook_signature = "v2,abc v1  v1,";
  EXPECT_EQ(verdict(kSymmetric, request), Verdict::Wrong);
  request.webhook_signature = " ";
  EXPECT_EQ(verdict(kSymmetric, request), Verdict::Missing);
}

TEST(Verifier, RefusesAWebhookFromMoreThanFiveMinutesAway) {
  for (const std::string& secret : {kSymmetric, kPrivate}) {
    const Signed request = webhook(secret);
    EXPECT_EQ(verdict(secret, request, later(300)), Verdict::Valid);
    EXPECT_EQ(verdict(secret, request, later(301)), Verdict::OutOfTime);
    EXPECT_EQ(verdict(secret, request, later(-300)), Verdict::Valid);
    EXPECT_EQ(verdict(secret, request, later(-301)), Verdict::OutOfTime);
    EXPECT_EQ(verify(secret, request, later(301)).text,
              "signature out of time: webhook-timestamp is 301 s behind this clock");
    EXPECT_EQ(verify(secret, request, later(-301)).text,
              "signature out of time: webhook-timestamp is 301 s ahead of this clock");
  }
}

TEST(Verifier, RefusesATokenThatHasExpired) {
  EXPECT_EQ(verdict(kDt, dt(), later(3599)), Verdict::Valid);
  EXPECT_EQ(verdict(kDt, dt(), later(3600)), Verdict::OutOfTime);
}

TEST(Verifier, RefusesATokenThatSaysAnythingElse) {
  const json header = {{"alg", "HS256"}, {"typ", "JWT"}};
  const json none = json::object();
  Signed request = dt();
  const auto said = [&request](const std::string& text) {
    request.dt_signature = text;
    return verdict(kDt, request);
  };
  EXPECT_EQ(said(token(header, none)), Verdict::Valid);
  EXPECT_EQ(said(token(header, none, "any other")), Verdict::Wrong);
  EXPECT_EQ(said(token({{"alg", "none"}}, none)), Verdict::Wrong);
  EXPECT_EQ(said(token(json::object(), none)), Verdict::Wrong);
  EXPECT_EQ(said(token(header, {{"checksum", std::string(40, 'a')}})), Verdict::Wrong);
  EXPECT_EQ(said(token(header, {{"checksum_sha256", std::string(64, 'a')}})), Verdict::Wrong);
  for (const char* claim : {"checksum", "checksum_sha256", "exp"}) {
    EXPECT_EQ(said(token(header, {{claim, nullptr}})), Verdict::Wrong) << claim;  // taken out
    EXPECT_EQ(said(token(header, {{claim, json::array()}})), Verdict::Wrong) << claim;
  }
  for (const std::string text : {"", "e30", "e30.e30.e30", "e30.bm8", "bm8.e30", "!.e30"}) {
    const std::string mac = base64url(hmac_sha256(kDt, text, {}));
    EXPECT_EQ(said(text + "." + mac), Verdict::Wrong) << text;
  }
  EXPECT_EQ(said("no token"), Verdict::Wrong);
}

TEST(Verifier, SaysWhatIsWrongWithASecret) {
  const auto fault = [](const std::string& secret) {
    const Result<Verifier> verifier = Verifier::create(secret);
    return verifier.has_value() ? "accepted" : verifier.error().message;
  };
  EXPECT_EQ(fault(""), "is empty");
  EXPECT_EQ(fault("whsec_" + base64("short")), "must stand for 24 to 64 bytes, not 5");
  EXPECT_EQ(fault("whsec_not base64"), "has no base64 behind its prefix");
  EXPECT_EQ(fault("whsk_" + base64("short")),
            "must stand for an ed25519 key: 32 bytes, or 64 with the public key");
  EXPECT_EQ(fault("whpk_" + base64("short")),
            "must stand for a public ed25519 key: 32 bytes, not 5");
  EXPECT_EQ(fault("whpk_not base64"), "has no base64 behind its prefix");
  EXPECT_EQ(fault("any text"), "accepted");
}

}  // namespace
}  // namespace sluice::signing
