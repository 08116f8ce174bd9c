#pragma once
// The keys that a stream's requests to AWS are signed with: its own, or those of a session in a
// role of the customer's, which the operator's own keys assume, or an ID token of this server.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <variant>

#include "base/awaitable.h"
#include "base/clock.h"
#include "base/result.h"
#include "connectors/common/aws/signature.h"
#include "connectors/connector.h"

namespace sluice::connectors::aws {

// The installation's own way into AWS: [aws] of the settings.
struct Operator {
  Keys keys;                     // no access_key_id: it has none, and no role can be assumed
  std::string sts_endpoint_url;  // "" = AWS's in the stream's region
};

// A stream's: keys or a role.
struct Access {
  Keys keys;
  std::string role_arn;
  std::string audience;  // of the ID token that assumes the role; "" = the operator's keys do
};

// Of `role_arn`, `auth`, `audience`, `access_key_id` and `secret_access_key`. InvalidArgument: both
// ways, or none.
Result<Access> read_access(const nlohmann::json& credentials);

// Threads: its stream's I/O thread.
class Credentials {
 public:
  struct Options {
    Access access;
    std::string region;
    OrganisationId organisation;  // `org-<id>` is the external id, `<id>` an ID token's subject
    StreamId stream;              // in the session's name, for the customer's logs
  };
  // `context` and what it names outlive it.
  Credentials(Options options, const ConnectorContext& context);

  // Keys that are in force, or what it means for the batch that there are none.
  Awaitable<std::variant<Keys, SendOutcome>> get(Deadline deadline);
  // Whether forget() can lead to other keys.
  bool renewable() const { return !options_.access.role_arn.empty(); }
  void forget() { session_ = {}; }

 private:
  bool by_token() const { return !options_.access.audience.empty(); }
  // What shows STS who asks: an ID token, or the operator's secret key.
  Result<std::string> prove() const;
  egress::HttpRequest request(const std::string& form) const;
  std::string form(const std::string& proof) const;
  std::variant<Keys, SendOutcome> take(const egress::HttpResponse& response,
                                       const std::string& proof);

  const Options options_;
  const Operator* const operator_;  // null: as one without keys
  const signing::Issuer* const issuer_;
  egress::HttpClient& http_;
  const Clock& clock_;
  const std::string url_;
  const std::string_view action_;
  Keys session_;  // no access_key_id: none yet
  SteadyTime until_{};
};

}  // namespace sluice::connectors::aws
