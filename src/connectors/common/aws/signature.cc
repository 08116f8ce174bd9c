#include "connectors/common/aws/signature.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "base/assert.h"
#include "egress/url.h"
#include "signing/body_digest.h"

namespace sluice::connectors::aws {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string lower(std::string_view text) {
  std::string lowered(text);
  for (char& c : lowered) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lowered;
}

// Without blanks around it, and none twice inside.
std::string trimmed(std::string_view text) {
  std::string plain;
  for (const char c : text) {
    if (c != ' ' || (!plain.empty() && plain.back() != ' ')) plain += c;
  }
  if (!plain.empty() && plain.back() == ' ') plain.pop_back();
  return plain;
}

std::string hex_sha256(std::string_view text) {
  return signing::hex_digest(signing::Digest::Sha256, std::array{text});
}

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

// Parameters by name; each has a value, if an empty one.
std::string canonical_query(std::string_view query) {
  std::vector<std::string> parameters;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    std::string parameter(query.substr(0, end));
    if (parameter.find('=') == parameter.npos) parameter += '=';
    parameters.push_back(std::move(parameter));
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  std::ranges::sort(parameters);
  return fmt::format("{}", fmt::join(parameters, "&"));
}

std::string signing_key(const Keys& keys, const Scope& scope, std::string_view day) {
  std::string key = "AWS4" + keys.secret_access_key;
  for (const std::string_view part : {day, scope.region, scope.service}) {
    key = signing::hmac_sha256(key, part, {});
  }
  return signing::hmac_sha256(key, "aws4_request", {});
}

}  // namespace

void sign(egress::HttpRequest& request, const Keys& keys, const Scope& scope, WallTime now,
          std::string_view payload_sha256) {
  const Result<egress::Url> url = egress::parse_url(request.url);
  SLUICE_ASSERT(url.has_value());
  const std::string time =
      fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(static_cast<std::time_t>(now.ms / 1000)));
  const std::string day = time.substr(0, 8);
  request.headers.emplace_back("X-Amz-Date", time);
  if (!keys.session_token.empty()) {
    request.headers.emplace_back("X-Amz-Security-Token", keys.session_token);
  }

  std::map<std::string, std::string> headers = {{"host", url->authority}};
  for (const auto& [name, value] : request.headers) headers.emplace(lower(name), trimmed(value));
  std::string canonical_headers;
  std::string signed_headers;
  for (const auto& [name, value] : headers) {
    canonical_headers += fmt::format("{}:{}\n", name, value);
    signed_headers += (signed_headers.empty() ? "" : ";") + name;
  }
  const std::string_view target = url->target;
  const std::size_t path_end = std::min(target.find('?'), target.size());
  const std::string canonical =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, target.substr(0, path_end),
                  canonical_query(target.substr(std::min(path_end + 1, target.size()))),
                  canonical_headers, signed_headers, payload_sha256);
  const std::string scope_text =
      fmt::format("{}/{}/{}/aws4_request", day, scope.region, scope.service);
  const std::string to_sign =
      fmt::format("{}\n{}\n{}\n{}", kAlgorithm, time, scope_text, hex_sha256(canonical));
  request.headers.emplace_back(
      "Authorization",
      fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kAlgorithm,
                  keys.access_key_id, scope_text, signed_headers,
                  hex(signing::hmac_sha256(signing_key(keys, scope, day), to_sign, {}))));
}

}  // namespace sluice::connectors::aws
