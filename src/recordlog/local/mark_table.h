#pragma once
// Which requests with an Idempotency-Key are stored, and what of them: all marks of the last day,
// as they lie in the chunks.

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "recordlog/local/format.h"
#include "recordlog/recordlog.h"

namespace sluice::recordlog {

// Memory: about 150 bytes a key, and 12 more for each piece of a request that is not stored whole.
// Threads: any.
class MarkTable {
 public:
  using Key = std::array<std::uint8_t, 16>;

  MarkTable(std::uint64_t keys_max, std::int64_t kept_s, Metrics& metrics);

  // False: full, and `key` is new. Requests on their way to the disk do not count yet.
  bool takes(const Key& key, WallTime now);
  // Only what is on stable storage.
  void add(std::span<const IndexMark> marks);
  std::vector<StoredPiece> find(const Key& key, WallTime now) const;
  std::uint64_t keys() const;

 private:
  struct Piece {
    std::uint32_t part = 0;
    std::uint32_t first = 0;
    std::uint32_t count = 0;
  };
  struct Request {
    Key body{};
    std::uint32_t accepted = 0;
    std::uint32_t rejected = 0;
    std::int64_t stored_ms = 0;  // the newest piece
    std::uint32_t stored = 0;    // records; of a request stored whole there are no pieces
    std::vector<Piece> pieces;   // by part and first; neighbours are one
    bool whole() const { return stored >= accepted; }
  };
  struct Hash {
    std::size_t operator()(const Key& key) const noexcept {  // keys are hashes already
      std::size_t value = 0;
      std::memcpy(&value, key.data(), sizeof(value));
      return value;
    }
  };

  void add_one(const IndexMark& mark) SLUICE_REQUIRES(mutex_);
  static std::uint32_t add_piece(std::vector<Piece>& pieces, Piece piece);
  void forget_before(std::int64_t ms) SLUICE_REQUIRES(mutex_);

  const std::uint64_t keys_max_;
  const std::int64_t kept_ms_;
  Gauge gauge_;
  mutable Mutex mutex_;
  std::unordered_map<Key, Request, Hash> requests_ SLUICE_GUARDED_BY(mutex_);
  // Each key once, about in the order in which they are to be forgotten.
  std::deque<std::pair<std::int64_t, Key>> by_age_ SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::recordlog
