#pragma once
// What an AWS service says when it refuses, and what that means for a batch. Pure.

#include <string>
#include <string_view>

#include "connectors/common/service_call.h"
#include "connectors/connector.h"
#include "egress/http_client.h"

namespace sluice::connectors::aws {

// From an XML document (S3, STS), a JSON one (the others) or the header that names the type.
ServiceError read_error(const egress::HttpResponse& response);

// The session's keys have ended: new ones may do.
bool is_expired(const ServiceError& error);

// For an answer other than 2xx. `reason` is what a person reads.
SendOutcome refused(int status, const ServiceError& error,
                    std::optional<std::chrono::milliseconds> retry_after, std::string reason);

}  // namespace sluice::connectors::aws
