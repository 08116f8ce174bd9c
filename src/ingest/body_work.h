#pragma once
// Unpacks, hashes and reads bodies: small ones on the I/O thread that asks, large ones on workers,
// so that the thread's other clients and its deliveries go on.

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "base/awaitable.h"
#include "base/mutex.h"
#include "base/units.h"
#include "base/worker_pool.h"
#include "http/server.h"
#include "ingest/body_reader.h"
#include "ingest/idempotency.h"
#include "ingest/unpack.h"

namespace sluice::ingest {

using ReadResult = std::variant<Batch, Refusal>;

// Its awaitables are awaited on an I/O thread's loop; what is passed by reference outlives them.
class BodyWork {
 public:
  // Reading 4 MiB takes an I/O thread some 3 ms; unpacking 256 KiB, or hashing 1 MiB, one or two.
  static constexpr std::uint64_t kReadHereBytesMax = 4 * kMiB;
  static constexpr std::uint64_t kUnpackHereBytesMax = 256 * kKiB;
  static constexpr std::uint64_t kHashHereBytesMax = 1 * kMiB;
  static constexpr std::size_t kWorkers = 2;

  struct Limits {
    std::uint64_t body_bytes_max;
    std::uint64_t record_bytes_max;
  };
  explicit BodyWork(const Limits& limits) : limits_(limits), workers_("ingest", kWorkers) {}

  // Puts the unpacked body in the place of the packed one, and its memory on the same account,
  // unless there is a refusal.
  Awaitable<std::optional<Refusal>> unpack(Encoding encoding, http::Body& body);
  Awaitable<Hash> hash(const http::Body& body, const BodyContext& context);
  // `here`: the I/O thread's own parser.
  Awaitable<ReadResult> read(http::Body& body, const ReadOptions& options, RecordParser& here);
  // What blocks.
  template <class Function>
  auto run(Function function) {
    return workers_.run(std::move(function));
  }

 private:
  // The workers' parsers: each has room for the largest record, so they are kept.
  std::unique_ptr<RecordParser> take_parser();
  void put_back(std::unique_ptr<RecordParser> parser);

  const Limits limits_;
  Mutex mutex_;
  std::vector<std::unique_ptr<RecordParser>> idle_parsers_ SLUICE_GUARDED_BY(mutex_);
  WorkerPool workers_;  // the last: what it runs uses the others
};

}  // namespace sluice::ingest
