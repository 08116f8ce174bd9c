#pragma once
// Looks at one stream and tells what people are to hear of it. No I/O, no clock. Internal to
// dispatch.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "dispatch/alerts.h"
#include "dispatch/delivery_settings.h"
#include "dispatch/stream_machine.h"

namespace sluice::dispatch {

// Threads: its stream's.
class AlertWatch {
 public:
  struct Options {
    StreamId stream;
    OrganisationId organisation;
    WallTime created;           // of the stream
    Milliseconds retention{0};  // of the log
    AlertSink* sink = nullptr;  // outlives the watch; null: nobody wants to hear
  };

  // `machine` before its begin(): what it counts from now on is news. One that is in Error by now
  // is told again, as nobody knows whether it was.
  AlertWatch(Options options, const DeliverySettings& settings, const StreamMachine& machine);

  void change(const DeliverySettings& settings) { settings_ = settings; }

  // After each event of the machine, and at wake_at() at the latest.
  void look(const StreamMachine& machine, SteadyTime now, WallTime wall);
  std::optional<SteadyTime> wake_at() const { return wake_at_; }

 private:
  struct Counts {
    std::uint64_t parked = 0;
    std::uint64_t aged_out = 0;
    std::uint64_t damaged = 0;
    std::uint64_t dropped = 0;
    std::uint64_t delivered = 0;
  };
  static Counts counts_of(const StreamMachine& machine);
  // The end of the oldest record's life, and how long that is in all.
  struct Life {
    std::int64_t ends_ms;
    std::int64_t ms;
  };
  Life shortest_life(WallTime oldest) const;

  void look_at_counts(const StreamMachine& machine);
  void look_at_error(const StreamMachine& machine);
  void look_at_failures(const StreamMachine& machine, SteadyTime now);
  void look_at_oldest(const StreamMachine& machine, SteadyTime now, WallTime wall);
  int level_of(std::chrono::seconds failing) const;
  void wake_after(Milliseconds wait, SteadyTime now);
  void tell(AlertKind kind, std::string reason, std::uint64_t records = 0);

  const Options options_;
  DeliverySettings settings_;
  Counts seen_;
  bool in_error_ = false;
  int level_ = 0;        // how many of the shares of error_after are over
  bool unwell_ = false;  // so that its next delivery is a recovery
  bool loss_told_ = false;
  std::optional<std::int64_t> endangered_ms_;  // since when the oldest record's life ends soon
  std::optional<SteadyTime> wake_at_;
};

}  // namespace sluice::dispatch
