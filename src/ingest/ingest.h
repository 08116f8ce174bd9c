#pragma once
// HTTP body -> validated records -> recordlog. Answers when the records are on disk.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/io_threads.h"
#include "base/metrics.h"
#include "base/worker_pool.h"
#include "catalog/catalog.h"
#include "catalog/quarantine.h"
#include "http/server.h"
#include "ingest/rate_limit.h"
#include "ingest/source.h"
#include "model/identity.h"
#include "model/kind.h"
#include "recordlog/recordlog.h"

namespace sluice::ingest {

struct Settings {
  std::uint64_t body_bytes_max = 64 << 20;
  std::uint64_t record_bytes_max = 1 << 20;
  bool redact_tokens = true;  // events 36, 37, 40 (records.md)
  std::string installation;   // refuses bodies that this installation sent
  Rates rates = {};           // of each organisation's bound tokens
};

class Ingest {
 public:
  struct Dependencies {  // all outlive the Ingest
    IoThreads& threads;
    recordlog::RecordLog& log;
    catalog::Catalog& catalog;
    WorkerPool& catalog_pool;
    Metrics& metrics;
    catalog::Quarantine& quarantine;
    const Clock& clock;
  };
  // Reads the catalog's organisations once. Blocks.
  static Result<std::unique_ptr<Ingest>> open(Settings settings, Dependencies dependencies);
  virtual ~Ingest() = default;

  // What can be refused by the head alone (role, content type, encoding, length, loop, key) or by
  // what the organisation has sent before; nullopt: go on with the body.
  virtual std::optional<http::Response> refuse(const http::RequestHead& head,
                                               const Identity& identity) = 0;
  // POST /api/v2/records/{kind}. On the connection's I/O thread; answers through `responder`.
  virtual void handle(const http::RequestHead& head, Kind kind, const Identity& identity,
                      http::Body body, http::Responder responder) = 0;

  // Messages that name no organisation, are too large or otherwise invalid go to the quarantine,
  // once each. `done` is called once, on any thread: all the others are on stable storage, or
  // Unavailable says why not; taken again, only what is missing is stored. One run of a partition
  // at a time. Threads: any.
  using Taken = std::function<void(const Result<void>& result)>;
  virtual void take(SourceRun run, Taken done) = 0;
  virtual std::optional<StoredRun> newest_run(std::string_view partition) const = 0;
};

}  // namespace sluice::ingest
