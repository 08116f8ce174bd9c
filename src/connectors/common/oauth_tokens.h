#pragma once
// Access tokens by OAuth 2.0 (RFC 6749), kept until they end.

#include <functional>
#include <optional>
#include <string>
#include <variant>

#include "base/awaitable.h"
#include "base/clock.h"
#include "connectors/common/auth.h"
#include "connectors/connector.h"
#include "egress/http_client.h"

namespace sluice::connectors {

// How a token is asked for.
struct TokenRequest {
  std::string url;
  std::function<std::string(WallTime now)> form;  // without the client's id and secret
  std::string client_id = {};                     // "" = the form itself proves who asks
  std::string client_secret = {};
  bool in_form = false;     // the endpoint wants id and secret there, else where it likes them
  std::string_view remedy;  // of credentials that are refused: "look at destination.auth"
};

// By client credentials (4.4).
TokenRequest token_request(ClientCredentials credentials);

// Threads: its stream's I/O thread.
class OauthTokens {
 public:
  // `http` and `clock` outlive it. `tls`: for the token endpoint; null: the server's settings.
  OauthTokens(TokenRequest request, OrganisationId organisation,
              std::shared_ptr<egress::TlsContext> tls, egress::HttpClient& http,
              const Clock& clock);

  // A token, or what it means for the batch that there is none: credentials that are refused are
  // a fault of configuration, an endpoint that does not answer passes.
  Awaitable<std::variant<std::string, SendOutcome>> get(Deadline deadline);
  // What came with the last token, JSON.
  const std::string& answer() const { return answer_; }
  // The last one is of no use any more.
  void forget() { token_.clear(); }

 private:
  // How the endpoint wants to be shown the credentials: both are in use.
  enum class Style : std::uint8_t { Header, Body };

  egress::HttpRequest request() const;
  std::variant<std::string, SendOutcome> take(const egress::HttpResponse& response);
  SendOutcome refused(const egress::HttpResponse& response) const;

  const TokenRequest request_;
  const std::string shown_url_;
  const OrganisationId organisation_;
  const std::shared_ptr<egress::TlsContext> tls_;
  egress::HttpClient& http_;
  const Clock& clock_;
  Style style_ = Style::Header;
  std::string token_;  // "" = none
  std::string answer_;
  SteadyTime until_{};
};

}  // namespace sluice::connectors
