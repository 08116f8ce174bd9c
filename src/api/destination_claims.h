#pragma once
// Destinations that a stream must have for itself (ConnectorDescriptor::claim).

#include "api/fault.h"
#include "api/stream_fields.h"
#include "base/result.h"
#include "catalog/catalog.h"

namespace sluice::api {

// Adds a fault if another stream of this server claims what `stream` does, for a kind that both
// have. Reads the catalog: on its pool.
Result<void> check_claim(catalog::Catalog& catalog, const ConnectorTable& table,
                         const catalog::Stream& stream, Faults& faults);

}  // namespace sluice::api
