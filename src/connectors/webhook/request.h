#pragma once
// A batch as an HTTP request. Pure.

#include <string>
#include <string_view>

#include "base/clock.h"
#include "connectors/connector.h"
#include "connectors/webhook/config.h"
#include "egress/http_client.h"

namespace sluice::connectors::webhook {

// A body that is made: in a format that is more than the records' own bytes, or compressed.
struct RenderedBody {
  std::string bytes;   // "": the body is the records' own bytes
  std::string packed;  // the same compressed; "": it is not
};
RenderedBody render_body(const Config& config, const RecordBatch& batch);

// `rendered` is render_body()'s. The request's body is views into it or the batch: they must stay.
// `now` is the attempt's time, `installation` this server's name for X-Sluice-Hops.
egress::HttpRequest build_request(const Config& config, const RecordBatch& batch, WallTime now,
                                  std::string_view installation, const RenderedBody& rendered = {});

}  // namespace sluice::connectors::webhook
