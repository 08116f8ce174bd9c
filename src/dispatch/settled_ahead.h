#pragma once
// What is settled although the cursor has not passed it: requests of a run (delivery.parallel)
// end in any order. Kept beside the dead letters; bytes: docs/formats/stream-journal.md.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "model/ids.h"

namespace sluice::dispatch {

enum class Settled : std::uint8_t { Delivered = 1, Parked = 2, AgedOut = 3, Skipped = 4 };

class SettledAhead {
 public:
  struct Counts {
    std::uint64_t delivered = 0;
    std::uint64_t parked = 0;
    std::uint64_t aged_out = 0;
    std::uint64_t skipped = 0;
    std::uint64_t all() const { return delivered + parked + aged_out + skipped; }
    friend bool operator==(const Counts&, const Counts&) = default;
  };

  void add(Offset offset, Settled how);  // not there yet
  bool contains(Offset offset) const { return records_.contains(offset); }
  bool empty() const { return records_.empty(); }
  // Forgets the records before `cursor`, and says what became of them.
  struct Passed {
    Counts counts;
    std::optional<Offset> last;  // that did not age out
  };
  Passed pass(Offset cursor);
  const Counts& counts() const { return counts_; }
  // The first and the last of them.
  std::optional<std::pair<Offset, Offset>> range() const;

  std::string encode() const;  // "" if empty
  // Nullopt: damaged.
  static std::optional<SettledAhead> decode(std::string_view bytes);

  friend bool operator==(const SettledAhead&, const SettledAhead&) = default;

 private:
  std::map<Offset, Settled> records_;
  Counts counts_;
};

}  // namespace sluice::dispatch
