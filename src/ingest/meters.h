#pragma once
#include <cstdint>
#include <unordered_map>

#include "base/metrics.h"
#include "http/error_answer.h"
#include "model/kind.h"

namespace sluice::ingest {

// What ingest counts. Threads: any. Shared with answers under way, which may outlive the Ingest.
class Meters {
 public:
  explicit Meters(Metrics& metrics);

  void stored(Kind kind, std::uint64_t records, std::uint64_t bytes, double seconds) {
    (kind == Kind::Usage ? usage_ : events_).add(static_cast<double>(records));
    bytes_.add(static_cast<double>(bytes));
    seconds_.observe(seconds);
  }
  void rejected(http::ErrorToken token) { rejected_.at(token).add(); }
  void quarantined(std::uint64_t records) { quarantined_.add(static_cast<double>(records)); }
  void replayed() { replayed_.add(); }
  void unpacked(std::uint64_t bytes) { unpacked_bytes_.add(static_cast<double>(bytes)); }

 private:
  Counter usage_;
  Counter events_;
  Counter bytes_;
  Counter unpacked_bytes_;
  Counter quarantined_;
  Counter replayed_;
  Histogram seconds_;
  std::unordered_map<http::ErrorToken, Counter> rejected_;
};

}  // namespace sluice::ingest
