#pragma once
// AWS Signature Version 4. Pure.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

#include <string>
#include <string_view>

#include "base/clock.h"
#include "egress/http_client.h"

namespace sluice::connectors::aws {

struct Keys {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;  // "" = long-lived keys
};

struct Scope {
  std::string_view region;
  std::string_view service;  // as signatures name it: "s3", "kinesis"
};

// Adds X-Amz-Date, X-Amz-Security-Token and, over all the headers that are there by then, the
// host, and the URL as it stands, Authorization. The URL is valid, its path and query encoded.
// `payload_sha256`: of the body, in hex.
void sign(egress::HttpRequest& request, const Keys& keys, const Scope& scope, WallTime now,
          std::string_view payload_sha256);

}  // namespace sluice::connectors::aws
