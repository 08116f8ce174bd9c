#pragma once
#include "base/worker_pool.h"

namespace sluice::kafka {

// For librdkafka's calls that block: ends of clients and checks. Begun with the first of them.
WorkerPool& calls();

}  // namespace sluice::kafka
