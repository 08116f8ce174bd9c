#include "dispatch/alert_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace sluice::dispatch {
namespace {

using catalog::StreamStatus;

struct Share {
  int percent;
  AlertKind kind;
};
constexpr std::array<Share, 3> kShares = {Share{50, AlertKind::Failing50},
                                          Share{70, AlertKind::Failing70},
                                          Share{90, AlertKind::Failing90}};

// Records are in danger in the last tenth of their life, and a stream that catches up leaves it
// soon: only what is still there after a hundredth is told.
constexpr std::int64_t kDangerPart = 10;
constexpr std::int64_t kPatiencePart = 100;

// Clocks jump and stand still: look again, whatever was reckoned.
constexpr Milliseconds kWakeMin{100};
constexpr Milliseconds kWakeMax{3'600'000};

std::string long_time(std::int64_t ms) {
  const std::int64_t s = std::max<std::int64_t>(ms, 0) / 1000;
  if (s >= 86'400) return fmt::format("{} d {} h", s / 86'400, s % 86'400 / 3600);
  if (s >= 3600) return fmt::format("{} h {} min", s / 3600, s % 3600 / 60);
  if (s >= 60) return fmt::format("{} min {} s", s / 60, s % 60);
  return fmt::format("{} s", s);
}

}  // namespace

AlertWatch::AlertWatch(Options options, const DeliverySettings& settings,
                       const StreamMachine& machine)
    : options_(options), settings_(settings), seen_(counts_of(machine)) {}

AlertWatch::Counts AlertWatch::counts_of(const StreamMachine& machine) {
  return {machine.parked_count(), machine.losses().aged_out, machine.losses().damaged,
          machine.dropped(), machine.delivered()};
}

void AlertWatch::look(const StreamMachine& machine, SteadyTime now, WallTime wall) {
  if (options_.sink == nullptr) return;
  wake_at_.reset();
  look_at_error(machine);
  look_at_failures(machine, now);
  look_at_counts(machine);
  look_at_oldest(machine, now, wall);
}

void AlertWatch::look_at_error(const StreamMachine& machine) {
  const bool in_error = machine.status() == StreamStatus::Error;
  if (in_error == std::exchange(in_error_, in_error) || !in_error) return;
  unwell_ = true;
  tell(AlertKind::Error, machine.last_error());
}

void AlertWatch::look_at_failures(const StreamMachine& machine, SteadyTime now) {
  if (machine.status() != StreamStatus::Running) return;
  const std::chrono::seconds failing = machine.failing_for(now);
  const int level = level_of(failing);
  if (level > level_) {
    unwell_ = true;
    const Milliseconds left = settings_.error_after - failing;
    tell(kShares[static_cast<std::size_t>(level) - 1].kind,
         fmt::format("no success for {}; in {} it goes to Error. The last failure: {}",
                     long_time(Milliseconds(failing).count()), long_time(left.count()),
                     machine.last_error()));
  }
  level_ = level;
  if (failing > failing.zero() && static_cast<std::size_t>(level) < kShares.size()) {
    const int percent = kShares[static_cast<std::size_t>(level)].percent;
    wake_after(Milliseconds(settings_.error_after) * percent / 100 - failing, now);
  }
}

int AlertWatch::level_of(std::chrono::seconds failing) const {
  const auto over = [&](const Share& share) {
    return failing * 100 >= settings_.error_after * share.percent;
  };
  return static_cast<int>(std::ranges::count_if(kShares, over));
}

void AlertWatch::look_at_counts(const StreamMachine& machine) {
  const Counts seen = std::exchange(seen_, counts_of(machine));
  if (seen_.parked > seen.parked) {
    tell(AlertKind::DeadLetters, machine.last_error(), seen_.parked - seen.parked);
  }
  if (seen_.aged_out > seen.aged_out) {
    tell(AlertKind::AgedOut, machine.last_error(), seen_.aged_out - seen.aged_out);
  }
  if (seen_.damaged > seen.damaged) {
    tell(AlertKind::Damaged, "the record log was damaged", seen_.damaged - seen.damaged);
  }
  // A Disabled stream drops all that comes, as was asked for; /skip gives up what waited.
  if (seen_.dropped > seen.dropped && machine.status() != StreamStatus::Disabled) {
    tell(AlertKind::Skipped, "skipped by command", seen_.dropped - seen.dropped);
  }
  const bool well = machine.status() == StreamStatus::Running && level_ == 0;
  if (unwell_ && well && seen_.delivered > seen.delivered) {
    unwell_ = false;
    tell(AlertKind::Recovered, "");
  }
}

AlertWatch::Life AlertWatch::shortest_life(WallTime oldest) const {
  const std::int64_t kept = options_.retention.count();
  const Life in_log{oldest.ms + kept, kept};
  if (!settings_.max_age) return in_log;
  const std::int64_t wanted = Milliseconds(*settings_.max_age).count();
  const Life for_stream{std::max(oldest, options_.created).ms + wanted, wanted};
  return for_stream.ends_ms < in_log.ends_ms ? for_stream : in_log;
}

void AlertWatch::look_at_oldest(const StreamMachine& machine, SteadyTime now, WallTime wall) {
  const std::optional<WallTime> oldest = machine.oldest_stored();
  const Life life = shortest_life(oldest.value_or(WallTime{}));
  const std::int64_t danger_ms = life.ends_ms - life.ms / kDangerPart;
  if (!oldest || machine.status() == StreamStatus::Disabled || wall.ms < danger_ms) {
    loss_told_ = false;
    endangered_ms_.reset();
    if (oldest) wake_after(Milliseconds(danger_ms - wall.ms), now);
    return;
  }
  if (!endangered_ms_) endangered_ms_ = wall.ms;
  const std::int64_t tell_ms = *endangered_ms_ + life.ms / kPatiencePart;
  if (loss_told_) return;
  if (wall.ms < tell_ms) return wake_after(Milliseconds(tell_ms - wall.ms), now);
  loss_told_ = true;
  tell(AlertKind::LossAhead,
       fmt::format("you will lose data in {}: then the oldest records that are not delivered "
                   "are {} old and go",
                   long_time(life.ends_ms - wall.ms), long_time(life.ms)));
}

void AlertWatch::wake_after(Milliseconds wait, SteadyTime now) {
  const SteadyTime at = now + std::clamp(wait, kWakeMin, kWakeMax);
  if (!wake_at_ || at < *wake_at_) wake_at_ = at;
}

void AlertWatch::tell(AlertKind kind, std::string reason, std::uint64_t records) {
  options_.sink->alert({options_.stream, options_.organisation, kind, std::move(reason), records});
}

}  // namespace sluice::dispatch
