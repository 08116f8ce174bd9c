#include "recordlog/local/retention_guard.h"

#include <fmt/format.h>

#include <utility>

#include "base/logging.h"
#include "recordlog/local/partition_files.h"

namespace sluice::recordlog {
namespace {

constexpr std::chrono::hours kSuspendedFor{24};
constexpr std::int64_t kStepMsMax = 3'600'000;

}  // namespace

RetentionGuard::RetentionGuard(Options options, FileSystem& fs, const Clock& clock,
                               Metrics& metrics)
    : options_(std::move(options)),
      fs_(fs),
      clock_(clock),
      gauge_(metrics.gauge("sluice_recordlog_deletion_suspended",
                           "1 while nothing is deleted by age because the clock is in doubt.")) {
  const MutexLock lock(mutex_);
  read_clocks();
  const std::int64_t silent_ms = wall_.ms - options_.newest_record.ms;
  const Result<bool> was_suspended = fs_.exists(options_.directory + "/" + kFileName);
  if (options_.newest_record.ms > 0 && silent_ms > options_.retention_s * 1000) {
    suspend(
        fmt::format("the newest record was stored {} hours before the start, which is more "
                    "than the retention",
                    silent_ms / 3'600'000));
  } else if (!was_suspended || *was_suspended) {
    suspend("deletion was suspended when the server stopped");
  }
}

bool RetentionGuard::may_delete() {
  using std::chrono::milliseconds;
  const MutexLock lock(mutex_);
  const WallTime wall_before = wall_;
  const SteadyTime steady_before = steady_;
  read_clocks();
  const auto passed_ms = std::chrono::duration_cast<milliseconds>(steady_ - steady_before).count();
  const std::int64_t step_ms = wall_.ms - wall_before.ms - passed_ms;
  if (step_ms > kStepMsMax) {
    suspend(fmt::format("the clock was set forward by {} minutes", step_ms / 60'000));
  }
  if (!suspended_) return true;
  if (!is_over()) return false;
  suspended_ = false;
  gauge_.set(0);
  return true;
}

// Both of one moment: a thread that slept between the two would see a step where there is none.
void RetentionGuard::read_clocks() {
  do {
    steady_ = clock_.steady();
    wall_ = clock_.now();
  } while (clock_.steady() - steady_ > std::chrono::minutes(1));
}

void RetentionGuard::suspend(const std::string& reason) {
  suspended_ = true;
  suspended_until_ = steady_ + kSuspendedFor;
  reason_ = reason;
  gauge_.set(1);
  logging::error(
      "deletion by age is suspended for 24 hours: look at the clock",
      {{"reason", reason}, {"if_the_clock_is_right_delete", options_.directory + "/" + kFileName}});
  write_file();
}

void RetentionGuard::write_file() {
  const std::string text = fmt::format(
      "Nothing is deleted by age for 24 hours: {}.\n"
      "If the machine's clock is right, delete this file; deletion then goes on within a minute.\n",
      reason_);
  const Result<void> written = replace_file(fs_, options_.directory, kFileName, text);
  file_written_ = written.has_value();
  if (!written) {
    logging::warn("cannot note that deletion is suspended", {{"reason", written.error().message}});
  }
}

bool RetentionGuard::is_over() {
  const std::string path = options_.directory + "/" + kFileName;
  if (steady_ >= suspended_until_) {
    (void)fs_.remove(path);  // else the next start suspends once more
    logging::info("deletion by age goes on: 24 hours have passed");
    return true;
  }
  if (!file_written_) {
    write_file();
    return false;
  }
  const Result<bool> there = fs_.exists(path);
  if (!there || *there) return false;
  logging::info("deletion by age goes on: an operator has confirmed the clock");
  return true;
}

}  // namespace sluice::recordlog
