#pragma once
// One record through a stream's own way out, beside its deliveries.

#include <string>

#include "base/awaitable.h"
#include "base/result.h"
#include "catalog/catalog.h"
#include "connectors/connector.h"
#include "dispatch/stream_setup.h"
#include "model/attempt.h"
#include "model/kind.h"

namespace sluice::dispatch {

// Sends `record`, which is none of the log's, as a batch of its own that is marked as a test.
// Nothing of the stream moves and its state does not matter. Threads: the context's loop. Conflict:
// its settings as stored cannot be used.
Awaitable<Result<Attempt>> send_test(catalog::Stream stream, Kind kind, std::string record,
                                     FindConnector find_connector,
                                     connectors::ConnectorContext context);

}  // namespace sluice::dispatch
