#pragma once
// Fetches records from topics of a Kafka cluster ([source.kafka]) and stores each once.

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/io_threads.h"
#include "base/metrics.h"
#include "base/result.h"
#include "egress/http_client.h"
#include "ingest/ingest.h"
#include "server/source_settings.h"

namespace sluice::server {

// Fetching waits while the log, or the quarantine, takes nothing: then it says so, and goes on by
// itself. Threads: one of its own, and the first I/O thread for its connections.
class KafkaSource {
 public:
  struct Dependencies {  // all outlive it
    IoThreads& threads;
    ingest::Ingest& ingest;
    const Clock& clock;
    Metrics& metrics;
  };
  // `member` names this installation to the group. The I/O threads run when fetching begins.
  KafkaSource(KafkaSourceSettings settings, std::string member, egress::Settings egress,
              Dependencies dependencies);
  ~KafkaSource();  // stop() first
  KafkaSource(const KafkaSource&) = delete;
  KafkaSource& operator=(const KafkaSource&) = delete;

  Result<void> start();
  // What is on its way to the disk is stored or not; the next start knows which. While the I/O
  // threads run.
  void stop();

 private:
  class Worker;
  const std::unique_ptr<Worker> worker_;
};

}  // namespace sluice::server
