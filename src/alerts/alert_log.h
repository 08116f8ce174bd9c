#pragma once
// Stores alerts about streams as events of their organisation, so that another stream can carry
// them: at most one a stream, kind and hour of the clock, the rest summed up in the next.

#include <memory>

#include "base/clock.h"
#include "base/io_threads.h"
#include "base/metrics.h"
#include "base/worker_pool.h"
#include "catalog/catalog.h"
#include "dispatch/alerts.h"
#include "recordlog/recordlog.h"

namespace sluice::alerts {

// What was stored in an hour is known from the log, also after a crash; what is held back is in
// memory, and ends with the process.
class AlertLog final : public dispatch::AlertSink {
 public:
  struct Dependencies {  // all outlive the AlertLog
    IoThreads& threads;
    const Clock& clock;
    recordlog::RecordLog& log;
    catalog::Catalog& catalog;  // knows the names
    WorkerPool& catalog_pool;
    Metrics& metrics;
  };

  explicit AlertLog(Dependencies dependencies);
  // After the loops have stopped. Blocks until what is under way has ended.
  ~AlertLog() override;

  void alert(const dispatch::Alert& alert) override;

  // Stores what was held back or could not be stored, if its time has come. Calls itself every few
  // seconds.
  void flush();

 private:
  class Impl;
  const std::shared_ptr<Impl> impl_;  // shared with work on the pool and with the log
};

}  // namespace sluice::alerts
