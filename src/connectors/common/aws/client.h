#pragma once
// Calls to one AWS service as one stream: signed, with keys that are in force, their answers read.

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/awaitable.h"
#include "connectors/common/aws/credentials.h"
#include "connectors/common/aws/error.h"
#include "connectors/common/service_call.h"
#include "connectors/connector.h"

namespace sluice::egress {
class BodySource;
}

namespace sluice::connectors::aws {

struct Call {
  std::string method = "POST";
  std::string url;  // of the service's endpoint; path and query encoded
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::vector<std::string_view> body = {};  // stays until the call has ended
  // Likewise, as in egress::HttpRequest; then `body_sha256` is known.
  egress::BodySource* body_source = nullptr;
  std::uint64_t body_source_bytes = 0;
  std::string_view plain_body = {};  // its beginning, to be shown
  std::string body_sha256 = {};      // in hex; "" = not known yet
  std::string_view name;             // for a person: "PutRecords"
};

using Answer = ServiceAnswer;

// Threads: its stream's I/O thread.
class Client {
 public:
  struct Options {
    std::string_view service;  // as signatures name it
    Credentials::Options credentials;
  };
  // `context` and what it names outlive it.
  Client(Options options, const ConnectorContext& context);

  // One call; a second where keys have ended and can be renewed.
  Awaitable<Answer> perform(Call call, Deadline deadline);

  // A call of the services that speak JSON: `target` is what X-Amz-Target names, "X_1.DoIt". It and
  // `body` stay until the call has ended.
  Awaitable<Answer> perform_json(std::string url, std::string_view target, std::string_view body,
                                 Deadline deadline, std::string_view json_version = "1.1");

 private:
  Awaitable<Answer> perform_as(Keys keys, const Call& call, Deadline deadline);

  const Options options_;
  Credentials credentials_;
  egress::HttpClient& http_;
  const Clock& clock_;
};

}  // namespace sluice::connectors::aws
