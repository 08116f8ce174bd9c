#include "kafka/calls.h"

namespace sluice::kafka {

WorkerPool& calls() {
  static WorkerPool pool("kafka-calls", 4);
  return pool;
}

}  // namespace sluice::kafka
