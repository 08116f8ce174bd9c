#pragma once
// A batch as an HTTP request. Pure.

#include <string_view>

#include "base/clock.h"
#include "connectors/connector.h"
#include "connectors/webhook/config.h"
#include "egress/http_client.h"

namespace sluice::connectors::webhook {

// The request's body is views into the batch, which must stay. `now` is the attempt's time,
// `installation` this server's name for X-Sluice-Hops.
egress::HttpRequest build_request(const Config& config, const RecordBatch& batch, WallTime now,
                                  std::string_view installation);

}  // namespace sluice::connectors::webhook
