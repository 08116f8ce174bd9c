#include "api/jws.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include <array>

namespace sluice::api {
namespace {

constexpr std::string_view kRs256 = "RS256";
constexpr std::string_view kEs256 = "ES256";
constexpr std::string_view kEdDsa = "EdDSA";

constexpr int kRsaBitsMin = 2048;  // RFC 7518, 3.3
constexpr int kRsaBitsMax = 8192;  // beyond, one check takes a millisecond
constexpr std::size_t kP256Bytes = 32;
constexpr std::size_t kEd25519Bytes = 32;

// Frees what it is given, whatever OpenSSL calls the function for it.
template <auto kFree>
struct Free {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free>>;
using Number = std::unique_ptr<BIGNUM, Free<BN_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Free<EVP_PKEY_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using ParamBuilder = std::unique_ptr<OSSL_PARAM_BLD, Free<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, Free<OSSL_PARAM_free>>;
using Signature = std::unique_ptr<ECDSA_SIG, Free<ECDSA_SIG_free>>;
using SharedKey = std::shared_ptr<evp_pkey_st>;

const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Error unfit(std::string message) { return {ErrorCode::InvalidArgument, std::move(message)}; }

Number number(std::string_view big_endian) {
  return Number(BN_bin2bn(bytes(big_endian), static_cast<int>(big_endian.size()), nullptr));
}

// Null: OpenSSL refuses the numbers.
SharedKey key_of(const char* type, OSSL_PARAM_BLD* builder) {
  const Params params(OSSL_PARAM_BLD_to_param(builder));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (params == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    return nullptr;
  }
  return {key, &EVP_PKEY_free};
}

bool is_sound(EVP_PKEY* key) {
  const KeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  return context != nullptr && EVP_PKEY_public_check(context.get()) == 1;
}

bool is_p256(EVP_PKEY* key) {
  std::array<char, 32> name{};
  std::size_t size = 0;
  return EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, name.data(), name.size(),
                                        &size) == 1 &&
         std::string_view(name.data(), size) == "prime256v1";
}

// From the two numbers joined (RFC 7518, 3.4) to what OpenSSL takes. "": not of that form.
std::string der_of(std::string_view joined) {
  if (joined.size() != 2 * kP256Bytes) return "";
  const Signature signature(ECDSA_SIG_new());
  Number r = number(joined.substr(0, kP256Bytes));
  Number s = number(joined.substr(kP256Bytes));
  if (signature == nullptr || r == nullptr || s == nullptr) return "";
  ECDSA_SIG_set0(signature.get(), r.release(), s.release());
  std::string der(static_cast<std::size_t>(i2d_ECDSA_SIG(signature.get(), nullptr)), '\0');
  auto* out = reinterpret_cast<unsigned char*>(der.data());
  i2d_ECDSA_SIG(signature.get(), &out);
  return der;
}

}  // namespace

std::optional<JwsParts> split_jws(std::string_view token) {
  const std::size_t first = token.find('.');
  if (first == std::string_view::npos) return std::nullopt;
  const std::size_t second = token.find('.', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  return JwsParts{token.substr(0, first), token.substr(first + 1, second - first - 1),
                  token.substr(second + 1), token.substr(0, second)};
}

Result<PublicKey> PublicKey::of(Key key) {
  if (key == nullptr) return unfit("not a public key");
  std::string_view algorithm;
  switch (EVP_PKEY_get_base_id(key.get())) {
    case EVP_PKEY_RSA: {
      const int bits = EVP_PKEY_get_bits(key.get());
      if (bits < kRsaBitsMin || bits > kRsaBitsMax) {
        return unfit("an RSA key must have 2048 to 8192 bits");
      }
      algorithm = kRs256;
      break;
    }
    case EVP_PKEY_EC:
      if (!is_p256(key.get())) return unfit("of the elliptic curves only P-256 is known");
      algorithm = kEs256;
      break;
    case EVP_PKEY_ED25519: algorithm = kEdDsa; break;
    default: return unfit("neither RSA nor P-256 nor Ed25519");
  }
  if (!is_sound(key.get())) return unfit("its numbers make no sound key");
  return PublicKey(std::move(key), algorithm);
}

Result<PublicKey> PublicKey::from_pem(std::string_view pem) {
  const Bio text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (text == nullptr) return unfit("empty");
  Key key(PEM_read_bio_PUBKEY(text.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  if (key == nullptr) return unfit("no PEM public key (-----BEGIN PUBLIC KEY-----)");
  const Key second(PEM_read_bio_PUBKEY(text.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  if (second != nullptr) return unfit("more than one key: several belong into a JWKS file");
  return of(std::move(key));
}

Result<PublicKey> PublicKey::from_rsa(std::string_view modulus, std::string_view exponent) {
  if (modulus.size() > kRsaBitsMax / 8 || exponent.size() > 8) return unfit("too large");
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  const Number n = number(modulus);
  const Number e = number(exponent);
  if (builder == nullptr || n == nullptr || e == nullptr ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return unfit("not an RSA key");
  }
  return of(key_of("RSA", builder.get()));
}

Result<PublicKey> PublicKey::from_p256(std::string_view x, std::string_view y) {
  if (x.size() != kP256Bytes || y.size() != kP256Bytes) return unfit("not a point of P-256");
  const std::string point = "\x04" + std::string(x) + std::string(y);
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  if (builder == nullptr ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) !=
          1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                       point.size()) != 1) {
    return unfit("not a point of P-256");
  }
  return of(key_of("EC", builder.get()));
}

Result<PublicKey> PublicKey::from_ed25519(std::string_view x) {
  if (x.size() != kEd25519Bytes) return unfit("not a key of Ed25519");
  return of(Key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes(x), x.size()),
                &EVP_PKEY_free));
}

bool PublicKey::verify(std::string_view text, std::string_view signature) const {
  std::string der;
  if (algorithm_ == kEs256) {
    der = der_of(signature);
    if (der.empty()) return false;
    signature = der;
  }
  const EVP_MD* const digest = algorithm_ == kEdDsa ? nullptr : EVP_sha256();
  const DigestContext context(EVP_MD_CTX_new());
  return context != nullptr &&
         EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key_.get()) == 1 &&
         EVP_DigestVerify(context.get(), bytes(signature), signature.size(), bytes(text),
                          text.size()) == 1;
}

}  // namespace sluice::api
