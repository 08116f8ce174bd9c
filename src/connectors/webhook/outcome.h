#pragma once
// What an answer, or the lack of one, means for a batch: the outcome table. Pure.

#include "base/result.h"
#include "connectors/connector.h"
#include "connectors/webhook/config.h"
#include "egress/http_client.h"

namespace sluice::connectors::webhook {

// Reasons are sentences for a person, fit for an API answer and a log line: printable ASCII, no
// header values, no query. Copies of those that the receiver echoes are masked.
SendOutcome classify(const egress::HttpResponse& response, const Config& config);
SendOutcome classify(const Error& error, Fault fault, const Config& config);

}  // namespace sluice::connectors::webhook
