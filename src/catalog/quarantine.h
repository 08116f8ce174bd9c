#pragma once
// Records that ingest did not accept and keeps for the operator to look at.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "model/ids.h"
#include "model/kind.h"

namespace sluice::catalog {

// The invalid records of one request.
struct RejectedRecords {
  struct Record {
    std::uint32_t index;                         // among the request's records, from 0
    std::optional<OrganisationId> organisation;  // as far as it is known
    std::string_view reason;
    std::string_view bytes;
  };
  WallTime time;
  Kind kind = Kind::Event;
  std::string_view subject;  // of the token that sent them
  // Hashes of its idempotency key and body: sent again, the same record is not kept twice.
  std::optional<std::array<std::uint8_t, 32>> request = {};
  std::span<const Record> records;
};

struct QuarantinedRecord {
  std::uint64_t id = 0;  // grows, never reused
  WallTime time;
  Kind kind = Kind::Event;
  std::optional<OrganisationId> organisation;
  std::string subject;
  std::string reason;
  std::string bytes;
};

// Durability: what a call reports as done is on stable storage. Threads: any, calls queue up.
// Blocks (SQLite): call it from a worker pool. Errors: Io, Corruption, ResourceExhausted (the
// disk is full).
class Quarantine {
 public:
  struct Page {
    std::vector<QuarantinedRecord> records;  // newest first
    bool more = false;                       // there are older ones
  };
  // A page ends here too, so that an answer stays an answer; it has one record at least.
  static constexpr std::uint64_t kPageBytesMax = 4 << 20;

  virtual ~Quarantine() = default;

  // All of them or none. ResourceExhausted: there is no room for them within bytes_max.
  virtual Result<void> add(const RejectedRecords& rejected) = 0;
  // Those with an id below `before`, `limit` at most.
  virtual Result<Page> list(std::optional<std::uint64_t> before, std::uint32_t limit) = 0;
  // Removes those with ids up to `last`, or all; returns how many there were.
  virtual Result<std::uint64_t> clear(std::optional<std::uint64_t> last) = 0;
};

// Opens or makes `path` (mode 0600, synchronous=FULL). `bytes_max` bounds the file. Corruption:
// damaged, not a quarantine, or made by a newer version. `metrics` outlives it.
Result<std::unique_ptr<Quarantine>> open_quarantine(const std::string& path,
                                                    std::uint64_t bytes_max, Metrics& metrics);

}  // namespace sluice::catalog
