#include "alerts/alert_log.h"

#include <array>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <compare>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "alerts/alert_record.h"
#include "base/logging.h"
#include "base/mutex.h"

namespace sluice::alerts {
namespace {

constexpr std::chrono::seconds kFlushEvery{10};

// In place of an Idempotency-Key's hash: the log knows by it what is stored already.
recordlog::RequestMark mark_of(std::int64_t record_id) {
  recordlog::RequestMark mark{.accepted = 1};
  constexpr std::array<char, 8> kWhose = {'s', 'l', 'u', 'i', 'c', 'e', ' ', 'a'};
  std::memcpy(mark.key.data(), kWhose.data(), kWhose.size());
  std::memcpy(mark.key.data() + kWhose.size(), &record_id, sizeof(record_id));
  return mark;
}

}  // namespace

class AlertLog::Impl : public std::enable_shared_from_this<Impl> {
 public:
  explicit Impl(const Dependencies& with)
      : with_(with),
        timer_(with.threads.loop(0)),
        stored_(with.metrics.counter("sluice_alerts_total", "Alerts that were stored as events.")),
        failed_(with.metrics.counter("sluice_alerts_failed_total",
                                     "Tries to store an alert that failed; tried again.")),
        held_back_(with.metrics.gauge(
            "sluice_alerts_held_back",
            "Occurrences that wait to be told with the next alert of their kind.")) {}

  void alert(const dispatch::Alert& alert) {
    const Key key{alert.stream, alert.kind};
    const MutexLock lock(mutex_);
    Entry& entry = entries_[key];
    const std::uint64_t records = entry.waiting.alert.records + alert.records;
    entry.waiting.alert = alert;
    entry.waiting.alert.records = records;
    ++entry.waiting.occurrences;
    held_back_.add(1);
    if (!entry.failed) begin_if_due(key, entry);
  }

  void flush() {
    const std::int64_t hour = alert_hour(with_.clock.now());
    const MutexLock lock(mutex_);
    for (auto each = entries_.begin(); each != entries_.end();) {
      Entry& entry = each->second;
      begin_if_due(each->first, entry);
      const bool idle = !entry.busy && entry.waiting.occurrences == 0 && entry.hour < hour;
      each = idle ? entries_.erase(each) : std::next(each);
    }
  }

  void flush_later() {
    timer_.expires_after(kFlushEvery);
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (error || !self) return;
      self->flush();
      self->flush_later();
    });
  }

  void stop() {
    const MutexLock lock(mutex_);
    stopping_ = true;
    while (jobs_ > 0) jobs_ended_.wait(mutex_);
  }

 private:
  struct Key {
    StreamId stream;
    AlertKind kind = AlertKind::Error;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Entry {
    Told waiting;            // its occurrences are still to be told
    std::int64_t hour = -1;  // of the newest that is stored, as far as known
    bool busy = false;       // one is being stored
    bool failed = false;     // to be; it waits for the next flush()
  };

  void begin_if_due(const Key& key, Entry& entry) SLUICE_REQUIRES(mutex_) {
    const bool due = alert_hour(with_.clock.now()) != entry.hour;
    if (stopping_ || entry.busy || entry.waiting.occurrences == 0 || !due) return;
    entry.busy = true;
    ++jobs_;
    with_.catalog_pool.post([self = shared_from_this(), key] {
      self->store(key);
      const MutexLock lock(self->mutex_);
      if (--self->jobs_ == 0) self->jobs_ended_.notify_all();
    });
  }

  // On the pool.
  void store(const Key& key) {
    Told told;
    {
      const MutexLock lock(mutex_);
      if (stopping_) return;
      told = std::exchange(entries_.at(key).waiting, {});
    }
    told.time = with_.clock.now();
    const std::int64_t hour = alert_hour(told.time);
    const recordlog::RequestMark mark = mark_of(record_id(told));
    if (!with_.log.stored_pieces(mark.key).empty()) return put_back(key, told, hour);
    find_names(told);
    auto text = std::make_shared<const std::string>(record_text(told));
    recordlog::AppendRequest request;
    recordlog::NewRecords& group = request.groups.emplace_back();
    group.organisation = told.alert.organisation;
    group.kind = Kind::Event;
    group.records.push_back({*text, record_columns(told)});
    request.payload = std::move(text);
    request.mark = mark;
    with_.log.append(std::move(request),
                     [self = shared_from_this(), key, told = std::move(told),
                      hour](const Result<void>& done) { self->appended(key, told, hour, done); });
  }

  // A name that cannot be found out is left out.
  void find_names(Told& told) const {
    const auto stream = with_.catalog.stream(told.alert.stream);
    if (stream && *stream) told.stream_name = (*stream)->name;
    const auto organisation = with_.catalog.organisation(told.alert.organisation);
    if (organisation && *organisation) told.organisation_name = (*organisation)->name;
  }

  void appended(const Key& key, const Told& told, std::int64_t hour, const Result<void>& done) {
    if (!done) {
      failed_.add();
      logging::warn("an alert cannot be stored, and will be tried again",
                    {{"stream", key.stream.value()}, {"error", done.error().message}});
      return put_back(key, told, {});
    }
    stored_.add();
    held_back_.add(-static_cast<double>(told.occurrences));
    const MutexLock lock(mutex_);
    Entry& entry = entries_.at(key);
    entry.busy = entry.failed = false;
    entry.hour = hour;
  }

  // What came meanwhile is the newer. `hour`: there is one of it; else storing failed.
  void put_back(const Key& key, const Told& told, std::optional<std::int64_t> hour) {
    const MutexLock lock(mutex_);
    Entry& entry = entries_.at(key);
    entry.busy = false;
    entry.failed = !hour;
    if (hour) entry.hour = *hour;
    const std::uint64_t records = entry.waiting.alert.records + told.alert.records;
    if (entry.waiting.occurrences == 0) entry.waiting.alert = told.alert;
    entry.waiting.alert.records = records;
    entry.waiting.occurrences += told.occurrences;
  }

  const Dependencies with_;
  boost::asio::steady_timer timer_;
  Counter stored_, failed_;
  Gauge held_back_;

  Mutex mutex_;
  CondVar jobs_ended_;
  std::map<Key, Entry> entries_ SLUICE_GUARDED_BY(mutex_);
  std::size_t jobs_ SLUICE_GUARDED_BY(mutex_) = 0;  // on the pool
  bool stopping_ SLUICE_GUARDED_BY(mutex_) = false;
};

AlertLog::AlertLog(Dependencies dependencies) : impl_(std::make_shared<Impl>(dependencies)) {
  impl_->flush_later();
}
AlertLog::~AlertLog() { impl_->stop(); }

void AlertLog::alert(const dispatch::Alert& alert) { impl_->alert(alert); }
void AlertLog::flush() { impl_->flush(); }

}  // namespace sluice::alerts
