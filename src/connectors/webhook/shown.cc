#include "connectors/webhook/shown.h"

#include <algorithm>
#include <string_view>

#include "connectors/common/text.h"
#include "connectors/exchange.h"

namespace sluice::connectors::webhook {
namespace {

constexpr std::string_view kMasked = "***";
constexpr std::size_t kHeaderBytesUsual = 512;

// Of our own making, as request.cc spells them. All others are the stream's own or prove who we
// are.
bool may_show(std::string_view name, const Config& config) {
  if (name.starts_with("webhook-") || name.starts_with("X-Sluice-")) return true;
  if (name != "Content-Type" && name != "User-Agent") return false;
  return std::none_of(config.headers.begin(), config.headers.end(),
                      [name](const auto& header) { return same_name(header.first, name); });
}

}  // namespace

void show_request(const egress::HttpRequest& request, const Config& config, Exchange& exchange) {
  exchange.request_headers.reserve(kHeaderBytesUsual);
  for (const auto& [name, value] : request.headers) {
    show_header(exchange.request_headers, name, may_show(name, config) ? value : kMasked);
  }
  exchange.request_body = shown_body(request.body);
}

// A receiver may send back what it was sent.
void show_response(egress::HttpResponse response, const Config& config, Exchange& exchange) {
  exchange.answered = true;
  exchange.response_headers.reserve(kHeaderBytesUsual);
  for (const auto& [name, value] : response.headers) {
    show_header(exchange.response_headers, name, same_name(name, "Set-Cookie") ? kMasked : value);
  }
  mask(exchange.response_headers, config.secrets);
  mask(response.body, config.secrets);  // before it is cut: no half of a secret is left
  exchange.response_body = shown_body(std::move(response.body));
}

}  // namespace sluice::connectors::webhook
