#pragma once
// Checks, from what arrived alone, the promises a stream makes to its receiver: nothing missing
// (X-Sluice-Previous), in order, and a batch that comes again is the same bytes.
// Pure: no I/O, no clock. Memory is bounded. Threads: none.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"

namespace sluice::cli {

struct BodyHash {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend bool operator==(const BodyHash&, const BodyHash&) = default;
};
BodyHash hash_body(std::string_view body);

// One request, as its headers say. Views are read during the call alone.
struct Arrival {
  std::string_view stream;      // X-Sluice-Stream
  std::string_view webhook_id;  // webhook-id
  std::uint64_t first = 0;      // X-Sluice-Offsets
  std::uint64_t last = 0;
  std::optional<std::uint64_t> previous;  // X-Sluice-Previous; absent on a stream's first batch
  std::uint64_t attempt = 1;              // X-Sluice-Attempt
  std::uint64_t records = 0;              // in the body
  BodyHash body;
  bool accepted = true;  // what it is answered: false means that it has to come again
};

enum class Verdict : std::uint8_t {
  First,         // nothing is known of this stream: from here on
  InOrder,       //
  Repeat,        // accepted before; allowed: an answer may have been lost
  Refused,       // our own doing
  Unverified,    // more streams than kStreamsMax
  Gap,           // offsets between the last accepted and X-Sluice-Previous never came
  OutOfOrder,    // lies before or across what was accepted, under another id
  ChangedBody,   // an id that came before, with other bytes
  Inconsistent,  // headers and body contradict each other
};
constexpr bool is_violation(Verdict verdict) { return verdict >= Verdict::Gap; }
std::string_view verdict_name(Verdict verdict);

struct Finding {
  Verdict verdict;
  std::string text;  // what a person reads; for a violation with the offsets concerned
};

class DeliveryLedger {
 public:
  static constexpr std::size_t kIdsRemembered = 65'536;  // of all streams; older repeats look late
  static constexpr std::size_t kStreamsMax = 10'000;

  struct Totals {
    std::uint64_t deliveries = 0;  // accepted, without repeats
    std::uint64_t records = 0;     // of them
    std::uint64_t refused = 0;
    std::uint64_t repeats = 0;
    std::uint64_t gaps = 0;
    std::uint64_t out_of_order = 0;
    std::uint64_t changed_bodies = 0;
    std::uint64_t inconsistent = 0;
    std::uint64_t violations() const { return gaps + out_of_order + changed_bodies + inconsistent; }
  };

  Finding note(const Arrival& arrival);

  // A line of a ledger file for an accepted arrival, without the line break:
  // stream first last records hash webhook-id previous attempt ("-": no previous).
  static std::string line(const Arrival& arrival);
  // Takes up where the writer of that line left off; counts nothing. InvalidArgument: not a line.
  Result<void> restore(std::string_view line);

  const Totals& totals() const { return totals_; }
  std::size_t streams() const { return last_accepted_.size(); }

 private:
  struct Seen {
    BodyHash body;
    bool accepted;
  };
  Finding check(const Arrival& arrival);
  Finding check_place(const Arrival& arrival);
  void remember(const Arrival& arrival);
  void count(Verdict verdict, const Arrival& arrival);

  Totals totals_;
  std::unordered_map<std::string, std::uint64_t> last_accepted_;  // by stream: an offset
  std::unordered_map<std::string, Seen> ids_;
  std::deque<std::string> ids_by_age_;
};

}  // namespace sluice::cli
