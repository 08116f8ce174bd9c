#pragma once
// Records as a publish request, and what its answer means. Pure.
// https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish

#include <cstdint>
#include <string>

#include "connectors/common/by_key.h"
#include "connectors/common/service_call.h"

namespace sluice::connectors::pubsub {

// The service's limits of a request: https://cloud.google.com/pubsub/quotas#resource_limits
inline constexpr std::uint64_t kRequestBytesMax = 10'000'000;
inline constexpr std::uint32_t kMessagesMax = 1000;
inline constexpr std::uint64_t kFrameBytesMax = 128;  // around a message

// All messages of a request must have one ordering key.
std::string messages_of(const KeyGroup& group);

ServiceError read_error(const egress::HttpResponse& response);

// google.rpc.Code where an HTTP status alone would mislead:
// https://cloud.google.com/pubsub/docs/reference/error-codes
SendOutcome classify(ServiceAnswer answer);

}  // namespace sluice::connectors::pubsub
