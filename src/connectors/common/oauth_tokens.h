#pragma once
// Access tokens by client credentials (RFC 6749, 4.4), kept until they end.

#include <optional>
#include <string>
#include <variant>

#include "base/awaitable.h"
#include "base/clock.h"
#include "connectors/common/auth.h"
#include "connectors/connector.h"
#include "egress/http_client.h"

namespace sluice::connectors {

// Threads: its stream's I/O thread.
class OauthTokens {
 public:
  // `http` and `clock` outlive it. `tls`: for the token endpoint; null: the server's settings.
  OauthTokens(ClientCredentials credentials, OrganisationId organisation,
              std::shared_ptr<egress::TlsContext> tls, egress::HttpClient& http,
              const Clock& clock);

  // A token, or what it means for the batch that there is none: credentials that are refused are
  // a fault of configuration, an endpoint that does not answer passes.
  Awaitable<std::variant<std::string, SendOutcome>> get(Deadline deadline);
  // The last one is of no use any more.
  void forget() { token_.clear(); }

 private:
  // How the endpoint wants to be shown the credentials: both are in use.
  enum class Style : std::uint8_t { Header, Body };

  egress::HttpRequest request(Style style) const;
  std::variant<std::string, SendOutcome> take(const egress::HttpResponse& response);
  SendOutcome refused(const egress::HttpResponse& response) const;

  const ClientCredentials credentials_;
  const std::string shown_url_;
  const OrganisationId organisation_;
  const std::shared_ptr<egress::TlsContext> tls_;
  egress::HttpClient& http_;
  const Clock& clock_;
  Style style_ = Style::Header;
  std::string token_;  // "" = none
  SteadyTime until_{};
};

}  // namespace sluice::connectors
