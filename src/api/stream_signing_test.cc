#include "api/stream_signing.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/base64.h"

namespace sluice::api {
namespace {

using nlohmann::json;

const std::string kOne = "whsec_" + base64(std::string(32, '1'));
const std::string kTwo = "whsec_" + base64(std::string(32, '2'));
constexpr WallTime kNow{1'790'000'000'000};  // 2026-09-21T14:13:20Z
constexpr std::int64_t kDayMs = 86'400'000;

json with(std::string_view scheme, const json& more) {
  json signing = {{"scheme", scheme}};
  signing.update(more);
  return signing;
}

json parsed(const json& given) {
  Faults faults;
  json signing = parse_signing(given, kNow, faults);
  EXPECT_TRUE(faults.empty()) << faults.list().front().property << faults.list().front().message;
  return signing;
}

// What a PATCH leaves behind.
json patched(const json& stored, const json& given) { return parsed(merge_signing(stored, given)); }

std::string fault(const json& given) {
  Faults faults;
  parse_signing(given, kNow, faults);
  if (faults.empty()) return "accepted";
  return faults.list().front().property + ": " + faults.list().front().message;
}

TEST(StreamSigning, IsNothingWhereNothingIsSigned) {
  for (const json& given : {json(), json::object(), json{{"scheme", "none"}}}) {
    EXPECT_EQ(parsed(given), json());
  }
  EXPECT_EQ(mask_signing(json()), json::object());
}

TEST(StreamSigning, KeepsThePreviousSecretForADayUnlessToldOtherwise) {
  const json both = {{"secret", kTwo}, {"previous_secret", kOne}};
  EXPECT_EQ(parsed(with("standard-webhooks", both)).at("previous_secret_until"), kNow.ms + kDayMs);
  json until = both;
  until["previous_secret_until"] = "2026-09-21T14:13:21.5+01:00";
  EXPECT_EQ(parsed(with("standard-webhooks", until)).at("previous_secret_until"),
            kNow.ms + 1500 - 3'600'000);
  until["previous_secret_until"] = "tomorrow";
  EXPECT_EQ(fault(with("standard-webhooks", until)),
            "destination.signing.previous_secret_until: must be a time such as "
            "\"2026-11-21T20:00:00Z\"");
}

TEST(StreamSigning, NamesWhatIsWrong) {
  EXPECT_EQ(fault(json("dt")), "destination.signing: must be an object");
  EXPECT_EQ(fault(with("dt", {{"secret", "a"}, {"key", "b"}})),
            "destination.signing.key: unknown property");
  EXPECT_EQ(fault(with("standard-webhooks", {{"secret", "a"}})),
            "destination.signing.secret: must be whsec_ and base64 (HMAC), or whsk_ and base64 "
            "(ed25519)");
  EXPECT_EQ(fault(with("dt", {{"secret", "***"}})),
            "destination.signing.secret: *** stands for what is stored, and nothing is");
}

TEST(StreamSigning, ShowsNoSecret) {
  const json stored =
      parsed(with("standard-webhooks", {{"secret", kTwo}, {"previous_secret", kOne}}));
  EXPECT_EQ(json(mask_signing(stored)),
            with("standard-webhooks", {{"secret", "***"},
                                       {"previous_secret", "***"},
                                       {"previous_secret_until", "2026-09-22T14:13:20.000Z"}}));
}

TEST(StreamSigning, StaysAsItIsWhenItComesBackAsShown) {
  const json stored =
      parsed(with("standard-webhooks", {{"secret", kTwo}, {"previous_secret", kOne}}));
  EXPECT_EQ(patched(stored, mask_signing(stored)), stored);
  EXPECT_EQ(patched(stored, json::object()), stored);
  EXPECT_EQ(patched(stored, {{"secret", "***"}}), stored);
}

TEST(StreamSigning, ChangesPropertyByProperty) {
  const json stored = parsed(with("standard-webhooks", {{"secret", kOne}}));
  EXPECT_EQ(patched(stored, {{"secret", kTwo}}).at("secret"), kTwo);
  EXPECT_EQ(patched(stored, {{"scheme", "dt"}}), with("dt", {{"secret", kOne}}));
  EXPECT_EQ(patched(stored, {{"scheme", "none"}}), json());
  EXPECT_EQ(patched(stored, json()), json());

  const json rotating = patched(stored, {{"secret", kTwo}, {"previous_secret", kOne}});
  EXPECT_EQ(rotating.at("previous_secret"), kOne);
  EXPECT_EQ(patched(rotating, {{"previous_secret", nullptr}}),
            with("standard-webhooks", {{"secret", kTwo}}));
  // A scheme without them drops them.
  EXPECT_EQ(patched(rotating, {{"scheme", "dt"}}), with("dt", {{"secret", kTwo}}));
}

TEST(StreamSigning, ANewPreviousSecretHasATimeOfItsOwn) {
  json stored = parsed(with("standard-webhooks", {{"secret", kTwo}, {"previous_secret", kOne}}));
  stored["previous_secret_until"] = kNow.ms - 5;
  const std::string three = "whsec_" + base64(std::string(32, '3'));
  const json again = patched(stored, {{"secret", three}, {"previous_secret", kTwo}});
  EXPECT_EQ(again.at("previous_secret_until"), kNow.ms + kDayMs);
  EXPECT_EQ(patched(stored, {{"secret", three}}).at("previous_secret_until"), kNow.ms - 5);
}

TEST(StreamSigning, WantsItsSecretsAnewWhenTheyGoElsewhere) {
  const json stored =
      parsed(with("standard-webhooks", {{"secret", kTwo}, {"previous_secret", kOne}}));
  Faults faults;
  require_signing_anew(stored, {{"secret", "***"}}, "url", faults);
  ASSERT_EQ(faults.size(), 2u);
  EXPECT_EQ(faults.list()[0].property, "destination.signing.secret");
  EXPECT_EQ(faults.list()[1].property, "destination.signing.previous_secret");
  Faults none;
  require_signing_anew(stored, {{"secret", kOne}, {"previous_secret", nullptr}}, "url", none);
  require_signing_anew(json(), json(), "url", none);
  EXPECT_TRUE(none.empty());
}

}  // namespace
}  // namespace sluice::api
