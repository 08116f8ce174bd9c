#pragma once
// Records as they are stored, as Server-Sent Events.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "api/organisation_slots.h"
#include "api/token.h"
#include "base/awaitable.h"
#include "base/metrics.h"
#include "filters/filter.h"
#include "http/server.h"
#include "recordlog/recordlog.h"

namespace sluice::api {

// What one client is sent. Threads: none.
//
// Events: `record` (data: an item as browse shows it) and `gap` (data: {"from", "to"}: what lies at
// these offsets, without `to`, was not sent: the client was too far behind, or the log lost it).
// `id` is always the offset to go on with.
class LiveFeed {
 public:
  static constexpr std::uint64_t kResumeOffsetsMax = 10'000;

  struct Wanted {
    OrganisationId organisation;
    KindSet kinds;
    std::shared_ptr<const filters::Filter> filter;
    // The last `id` that the client saw. None, or one that this log never gave: it begins behind
    // the newest record. Further back than kResumeOffsetsMax: with a gap.
    std::optional<Offset> resume;
  };

  // `log` outlives it, but for its destructor.
  struct Meters {
    Counter fell_behind;
    Gauge behind;  // clients that are now
  };
  LiveFeed(recordlog::RecordLog& log, Wanted wanted, std::uint64_t bytes_behind_max, Meters meters);
  ~LiveFeed();
  LiveFeed(const LiveFeed&) = delete;
  LiveFeed& operator=(const LiveFeed&) = delete;

  struct Step {
    std::string events;
    bool more = false;  // there may be more to send already
  };
  // `queued_bytes`: what the client has been given and not taken. Found above the limit twice in a
  // row with more to send, the client is behind: it gets nothing until it has taken enough, then a
  // gap up to what is stored then. Blocks for a few chunks on a cold disk, as a stream's reading.
  Step next(std::uint64_t queued_bytes);

  // For a client that has heard nothing for long: keeps the connection, and its place.
  std::string sign_of_life() const;

 private:
  Step read(Offset end);
  void show_behind(bool behind);
  void append_records(const recordlog::Chunk& chunk, std::string& events);
  void append_gap(Offset to, std::string& events);

  recordlog::RecordLog& log_;
  const Wanted wanted_;
  const std::uint64_t bytes_behind_max_;
  Meters meters_;
  filters::Evaluator evaluator_;
  Offset at_;
  bool was_full_ = false;
  bool behind_ = false;  // what comes next is a gap
  bool shown_as_behind_ = false;
};

// A feed and its place among the live connections of its organisation.
struct LiveConnection {
  OrganisationSlots::Slot slot;
  std::unique_ptr<LiveFeed> feed;
};

// Feeds the client until it has gone or `token` has ended, which it is told. Looks at the log a few
// times a second. Runs on the client's loop; what is passed by reference outlives that loop's run.
Awaitable<void> run_live(LiveConnection connection, TokenVerifier& tokens, std::string token,
                         std::shared_ptr<http::AnswerStream> client);

}  // namespace sluice::api
