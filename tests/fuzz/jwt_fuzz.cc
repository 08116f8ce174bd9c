// libFuzzer: any bytes as a token, as header and claims that are then signed, as a JWK Set. What is
// accepted must have been allowed.

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "api/issuers.h"
#include "api/token.h"
#include "base/assert.h"
#include "catalog/catalog.h"

namespace sluice::api {
namespace {

using nlohmann::json;

constexpr std::int64_t kNowMs = 1'800'000'000'000;

class FixedClock final : public Clock {
 public:
  WallTime now() const override { return {kNowMs}; }
  SteadyTime steady() const override { return {}; }
};

// A file in memory that an issuer can be loaded from.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(::memfd_create("keys", MFD_CLOEXEC)) {
    SLUICE_ASSERT(descriptor_ >= 0);
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }
  void write(std::string_view text) const {
    SLUICE_ASSERT(::ftruncate(descriptor_, 0) == 0);
    SLUICE_ASSERT(::pwrite(descriptor_, text.data(), text.size(), 0) ==
                  static_cast<ssize_t>(text.size()));
  }

 private:
  const int descriptor_;
};

EVP_PKEY* theirs() {
  static const unsigned char kSecret[32] = {1, 2, 3};
  static EVP_PKEY* const key =
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, kSecret, sizeof kSecret);
  return key;
}

std::string jwks_of_theirs() {
  std::string x(32, '\0');
  std::size_t size = x.size();
  EVP_PKEY_get_raw_public_key(theirs(), reinterpret_cast<unsigned char*>(x.data()), &size);
  return R"({"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":")" + base64url(x) + R"("}]})";
}

struct World {
  World() {
    live.add("known");
    file.write(jwks_of_theirs());
    IssuerSettings settings;
    settings.iss = "them";
    settings.jwks_file = file.path();
    settings.role_max = Role::Developer;
    settings.organisations = {OrganisationId{7}};
    settings.audience = "us";
    auto issuers = load_issuers({&settings, 1});
    SLUICE_ASSERT(issuers.has_value());
    verifier.set_issuers(*std::move(issuers));
  }
  FixedClock clock;
  LiveTokens live;
  MemoryFile file;
  TokenVerifier verifier{TokenKey{}, {}, clock, live};
};

std::string signature_of(const std::string& text, bool ours) {
  const auto* const bytes = reinterpret_cast<const unsigned char*>(text.data());
  std::string signature(64, '\0');
  auto* const out = reinterpret_cast<unsigned char*>(signature.data());
  if (ours) {
    const TokenKey key;
    unsigned int size = 0;
    HMAC(EVP_sha256(), key.bytes.data(), static_cast<int>(key.bytes.size()), bytes, text.size(),
         out, &size);
    signature.resize(size);
  } else {
    std::size_t size = signature.size();
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    EVP_DigestSignInit(context, nullptr, nullptr, nullptr, theirs());
    EVP_DigestSign(context, out, &size, bytes, text.size());
    EVP_MD_CTX_free(context);
  }
  return signature;
}

// What an accepted token must have said.
void check_accepted(std::string_view header_text, std::string_view claims_text, bool ours,
                    const Identity& identity) {
  const json header = json::parse(header_text);
  const json claims = json::parse(claims_text);
  SLUICE_ASSERT(header.at("alg") == (ours ? "HS256" : "EdDSA"));
  for (const char* name : {"jwk", "jku", "x5c", "x5u", "crit"}) {
    SLUICE_ASSERT(!header.contains(name));
  }
  SLUICE_ASSERT(claims.at("exp").get<double>() * 1000 > kNowMs);
  SLUICE_ASSERT(claims.at("role") == role_name(identity.role));
  SLUICE_ASSERT(identity.organisation || identity.role == Role::Operator ||
                identity.role == Role::Ingest);
  SLUICE_ASSERT(!identity.organisation || identity.organisation->value() <= catalog::kIdMax);
  if (ours) {
    SLUICE_ASSERT(!claims.contains("iss") && !claims.contains("use"));
    SLUICE_ASSERT(claims.value("application_token", json("known")) == "known");
  } else {
    SLUICE_ASSERT(claims.at("iss") == "them" && claims.contains("aud"));
    SLUICE_ASSERT(identity.organisation == OrganisationId{7});
    SLUICE_ASSERT(covers(Role::Developer, identity.role));
  }
}

void check_signed(World& world, std::string_view input, bool ours) {
  const std::size_t line = std::min(input.find('\n'), input.size());
  const std::string_view header = input.substr(0, line);
  const std::string_view claims = input.substr(std::min(line + 1, input.size()));
  const std::string text = base64url(header) + "." + base64url(claims);
  const std::string token = text + "." + base64url(signature_of(text, ours));
  const Result<Identity> identity = world.verifier.verify(token);
  if (identity) check_accepted(header, claims, ours, *identity);
  SLUICE_ASSERT(identity || !identity.error().message.empty());
  const Result<std::string> refresh = world.verifier.verify_refresh(token);
  SLUICE_ASSERT(!refresh || (ours && !identity));
}

void check_jwks(std::string_view text) {
  static const MemoryFile file;
  file.write(text);
  IssuerSettings settings;
  settings.iss = "them";
  settings.jwks_file = file.path();
  const Result<Issuer> issuer = Issuer::load(settings);
  if (!issuer) return;
  for (const char* algorithm : {"RS256", "ES256", "EdDSA"}) {
    const Result<PublicKey> key = issuer->key({{"alg", algorithm}});
    if (!key) continue;
    SLUICE_ASSERT(key->algorithm() == algorithm);
    SLUICE_ASSERT(!key->verify("text", std::string(64, 's')));
  }
}

}  // namespace
}  // namespace sluice::api

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::api;
  static World world;
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      SLUICE_ASSERT(!world.verifier.verify(input));  // nobody guesses a signature
      SLUICE_ASSERT(!world.verifier.verify_refresh(input));
      break;
    case 1: check_signed(world, input, true); break;
    case 2: check_signed(world, input, false); break;
    default: check_jwks(input);
  }
  return 0;
}
