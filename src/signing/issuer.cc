#include "signing/issuer.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <array>
#include <nlohmann/json.hpp>

#include "base/assert.h"
#include "base/base64.h"

namespace sluice::signing {
namespace {

using nlohmann::ordered_json;

constexpr int kNumberBytes = 32;  // of P-256
constexpr const char* kGroup = "prime256v1";

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Key = std::shared_ptr<EVP_PKEY>;

unsigned char* bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

bool is_p256(const EVP_PKEY* key) {
  std::array<char, 32> name{};
  std::size_t size = 0;
  return EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, name.data(), name.size(),
                                        &size) == 1 &&
         std::string_view(name.data(), size) == kGroup;
}

std::string coordinate(const EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  SLUICE_ASSERT(EVP_PKEY_get_bn_param(key, name, &number) == 1);
  std::string value(kNumberBytes, '\0');
  SLUICE_ASSERT(BN_bn2binpad(number, bytes(value), kNumberBytes) == kNumberBytes);
  BN_free(number);
  return base64url(value);
}

std::string sha256(std::string_view text) {
  std::string digest(32, '\0');
  SLUICE_ASSERT(
      EVP_Digest(text.data(), text.size(), bytes(digest), nullptr, EVP_sha256(), nullptr) == 1);
  return digest;
}

// OpenSSL writes two numbers in DER; JWS wants them side by side (RFC 7518, 3.4).
std::string joined(std::string_view der) {
  const unsigned char* at = bytes(der);
  const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> signature(
      d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())), &ECDSA_SIG_free);
  SLUICE_ASSERT(signature != nullptr);
  std::string text(2 * kNumberBytes, '\0');
  BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), bytes(text), kNumberBytes);
  BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), bytes(text) + kNumberBytes, kNumberBytes);
  return text;
}

std::string sign_es256(EVP_PKEY* key, std::string_view text) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  std::string der(128, '\0');
  std::size_t size = der.size();
  SLUICE_ASSERT(context != nullptr &&
                EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
                EVP_DigestSign(context.get(), bytes(der), &size, bytes(text), text.size()) == 1);
  return joined(std::string_view(der).substr(0, size));
}

}  // namespace

std::string Issuer::generate() {
  const Key key(EVP_EC_gen(kGroup), &EVP_PKEY_free);
  const Bio out(BIO_new(BIO_s_mem()), &BIO_free);
  SLUICE_ASSERT(key != nullptr && out != nullptr &&
                PEM_write_bio_PKCS8PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                              nullptr) == 1);
  const char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

Result<Issuer> Issuer::from_pem(std::string_view pem) {
  const Bio text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  Key key(PEM_read_bio_PrivateKey(text.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  if (key == nullptr || !is_p256(key.get())) {
    return Error{ErrorCode::InvalidArgument, "not a private key of P-256"};
  }
  return Issuer(std::move(key));
}

Issuer::Issuer(Key key)
    : key_(std::move(key)),
      x_(coordinate(key_.get(), OSSL_PKEY_PARAM_EC_PUB_X)),
      y_(coordinate(key_.get(), OSSL_PKEY_PARAM_EC_PUB_Y)),
      id_(base64url(
          sha256(fmt::format(R"({{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}})", x_, y_)))) {}

std::string Issuer::url() const { return fmt::format("{}{}", public_url_, kPath); }

ordered_json Issuer::discovery() const {
  return {{"issuer", url()},
          {"jwks_uri", fmt::format("{}{}", public_url_, kKeysPath)},
          {"id_token_signing_alg_values_supported", {"ES256"}},
          {"response_types_supported", {"id_token"}},
          {"subject_types_supported", {"public"}}};
}

ordered_json Issuer::keys() const {
  ordered_json key = {{"kty", "EC"},    {"use", "sig"}, {"alg", "ES256"}, {"kid", id_},
                      {"crv", "P-256"}, {"x", x_},      {"y", y_}};
  return {{"keys", ordered_json::array({std::move(key)})}};
}

std::string Issuer::sign(const ordered_json& claims) const {
  const ordered_json header = {{"alg", "ES256"}, {"kid", id_}, {"typ", "JWT"}};
  const std::string text = base64url(header.dump()) + "." + base64url(claims.dump());
  return text + "." + base64url(sign_es256(key_.get(), text));
}

}  // namespace sluice::signing
