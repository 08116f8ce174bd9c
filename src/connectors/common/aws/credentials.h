#pragma once
// The keys that a stream's requests to AWS are signed with: its own, or those of a session in a
// role of the customer's, which the operator's own keys assume.

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

// A stream's: one of the two.
struct Access {
  Keys keys;
  std::string role_arn;
};

// Of `role_arn`, `access_key_id` and `secret_access_key`. InvalidArgument: both ways, or none.
Result<Access> read_access(const nlohmann::json& credentials);

// Threads: its stream's I/O thread.
class Credentials {
 public:
  struct Options {
    Access access;
    std::string region;
    OrganisationId organisation;  // `org-<id>` is the external id
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
  std::variant<Keys, SendOutcome> take(const egress::HttpResponse& response);
  std::string form() const;

  const Options options_;
  const Operator* const operator_;  // null: as one without keys
  egress::HttpClient& http_;
  const Clock& clock_;
  const std::string url_;
  Keys session_;  // no access_key_id: none yet
  SteadyTime until_{};
};

}  // namespace sluice::connectors::aws
