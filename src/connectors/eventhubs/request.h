#pragma once
// Records as a "send batch events" request, and what its answer means. Pure.
// https://learn.microsoft.com/rest/api/eventhub/send-batch-events

#include <cstdint>
#include <string>

#include "connectors/common/by_key.h"
#include "connectors/common/service_call.h"

namespace sluice::connectors::eventhubs {

// The service's limit of a publication in the standard tier, with what frames the events
// (https://learn.microsoft.com/azure/event-hubs/event-hubs-quotas). The basic tier takes 256 KB:
// there its 413 teaches the stream.
inline constexpr std::uint64_t kRequestBytesMax = 1024 * 1024;
inline constexpr std::uint64_t kFrameBytesMax = 256;  // around an event

// A publication goes to one partition, so all its events have one key.
std::string events_of(const KeyGroup& group);

// Of the XML documents that the service's gateway answers.
ServiceError read_error(const egress::HttpResponse& response);

SendOutcome classify(ServiceAnswer answer, const KeyGroup& group);

}  // namespace sluice::connectors::eventhubs
