#include "catalog/secret_box.h"

#include <gtest/gtest.h>

namespace sluice::catalog {
namespace {

KeyBytes key(unsigned char first) {
  KeyBytes bytes{};
  for (unsigned char& byte : bytes) byte = first++;
  return bytes;
}

bool opens(const SecretBox& box, std::string_view sealed, std::string_view place) {
  const Result<std::string> secret = box.open(sealed, place);
  EXPECT_TRUE(secret || secret.error().code == ErrorCode::Corruption);
  return secret.has_value();
}

TEST(SecretBox, OpensWhatItSealed) {
  const SecretBox box(key(1));
  for (const std::size_t size : {0, 1, 15, 16, 17, 64, 5000}) {
    const std::string secret(size, '\xff');
    const std::string sealed = box.seal(secret, "7/token/a");
    const Result<std::string> back = box.open(sealed, "7/token/a");
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, secret);
  }
  EXPECT_EQ(*box.open(box.seal("s", ""), ""), "s");
}

// Made with Python's `cryptography`: AESGCM(bytes(range(1, 33))).encrypt(bytes(12), b"secret",
// b"7/token/a"), the nonce before it.
TEST(SecretBox, OpensWhatAnotherImplementationSealed) {
  const Result<std::string> secret =
      SecretBox(key(1)).open("1:AAAAAAAAAAAAAAAAtRy4a9ghS/IdKFiBl/gDQsV6gaLgBQ==", "7/token/a");
  ASSERT_TRUE(secret) << secret.error().message;
  EXPECT_EQ(*secret, "secret");
}

TEST(SecretBox, SealsDifferentlyEachTimeAndShowsNothing) {
  const SecretBox box(key(1));
  const std::string sealed = box.seal("s3cret-s3cret", "p");
  EXPECT_NE(sealed, box.seal("s3cret-s3cret", "p"));
  EXPECT_EQ(sealed.find("s3cret"), std::string::npos);
}

TEST(SecretBox, RefusesAnotherKeyPlaceOrByte) {
  const SecretBox box(key(1));
  const std::string sealed = box.seal("secret", "7/token/a");
  EXPECT_FALSE(opens(SecretBox(key(2)), sealed, "7/token/a"));
  EXPECT_FALSE(opens(box, sealed, "8/token/a"));
  EXPECT_FALSE(opens(box, sealed, ""));
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(opens(box, changed, "7/token/a")) << i;
    EXPECT_FALSE(opens(box, sealed.substr(0, i), "7/token/a")) << i;
  }
  for (const char* text : {"", "1:", "1:====", "1:AAAA", "secret"}) {
    EXPECT_FALSE(opens(box, text, "7/token/a")) << text;
  }
}

}  // namespace
}  // namespace sluice::catalog
