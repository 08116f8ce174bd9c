#include "connectors/exchange.h"

namespace sluice::connectors {
namespace {

constexpr std::size_t kSecretBytesMin = 4;

void cut(std::string& body) {
  if (body.size() <= kShownBodyBytesMax) return;
  std::size_t end = kShownBodyBytesMax;
  while (end > 0 && (static_cast<unsigned char>(body[end]) & 0xc0) == 0x80) --end;
  body.resize(end);
}

}  // namespace

std::string shown_body(const std::vector<std::string_view>& parts) {
  std::string body;
  for (const std::string_view part : parts) {
    if (body.size() > kShownBodyBytesMax) break;
    body += part.substr(0, kShownBodyBytesMax + 1 - body.size());
  }
  cut(body);
  return body;
}

std::string shown_body(std::string body) {
  if (body.size() <= kShownBodyBytesMax) return body;
  return shown_body(std::vector<std::string_view>{body});
}

void show_header(std::string& headers, std::string_view name, std::string_view value) {
  if (headers.size() + name.size() + value.size() > kShownHeaderBytesMax) return;
  headers.append(name).append(": ").append(value).append("\n");
}

void mask(std::string& text, const std::vector<std::string>& secrets) {
  for (const std::string& secret : secrets) {
    if (secret.size() < kSecretBytesMin) continue;
    for (std::size_t at = text.find(secret); at != text.npos; at = text.find(secret, at)) {
      text.replace(at, secret.size(), "***");
      at += 3;
    }
  }
}

}  // namespace sluice::connectors
