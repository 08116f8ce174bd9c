#include "dispatch/stream_runner.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

#include "base/assert.h"
#include "base/logging.h"
#include "dispatch/attempt_of.h"
#include "dispatch/stream_setup.h"

namespace sluice::dispatch {
namespace {

using catalog::StreamStatus;
using std::chrono::milliseconds;

constexpr std::uint64_t kTurnBytes = 256 * 1024;
constexpr int kTurnReads = 32;
// What an operator waits for may count this much again after a crash.
constexpr std::chrono::seconds kFailingStep{60};
// Between catalog writes that nobody waits for, and after one that failed.
constexpr milliseconds kCatalogInterval{2000};

Counter attempt_counter(Metrics& metrics, const char* outcome) {
  return metrics.counter("sluice_delivery_attempts_total", "Attempts to deliver a batch.",
                         {{"outcome", outcome}});
}

Gauge stream_gauge(Metrics& metrics, const char* status) {
  return metrics.gauge("sluice_streams", "Streams by status.", {{"status", status}});
}

}  // namespace

DispatchMetrics::DispatchMetrics(Metrics& m)
    : attempts_delivered(attempt_counter(m, "delivered")),
      attempts_retry(attempt_counter(m, "retry")),
      attempts_rejected(attempt_counter(m, "rejected")),
      attempts_misconfigured(attempt_counter(m, "misconfigured")),
      attempts_gone(attempt_counter(m, "gone")),
      records(m.counter("sluice_delivery_records_total", "Records delivered.")),
      bytes(m.counter("sluice_delivery_bytes_total", "Bytes of the records delivered.")),
      parked(m.counter("sluice_delivery_parked_records_total", "Records parked as dead letters.")),
      seconds(m.histogram_s("sluice_delivery_seconds", "Time of one attempt.")),
      running(stream_gauge(m, "running")),
      paused(stream_gauge(m, "paused")),
      error(stream_gauge(m, "error")),
      disabled(stream_gauge(m, "disabled")),
      in_flight_bytes(m.gauge("sluice_delivery_in_flight_bytes",
                              "Bytes of the log that streams hold in memory.")) {}

Counter& DispatchMetrics::attempts(const connectors::Decision& decision) {
  // In the order of the variant.
  Counter* const counters[] = {&attempts_delivered, &attempts_retry, &attempts_rejected,
                               &attempts_misconfigured, &attempts_gone};
  return *counters[decision.index()];
}

Gauge& DispatchMetrics::streams(StreamStatus status) {
  switch (status) {
    case StreamStatus::Paused: return paused;
    case StreamStatus::Error: return error;
    case StreamStatus::Disabled: return disabled;
    case StreamStatus::Running:
    case StreamStatus::Pending: break;
  }
  return running;
}

std::optional<JournalEntry> Shared::recovered(StreamId stream) const {
  const auto found = parked_states.find(stream);
  std::optional<JournalEntry> parked;
  if (found != parked_states.end()) parked = found->second;
  return further(journal->recovered(stream), parked);
}

bool Pending::wait_until(std::chrono::steady_clock::time_point until) {
  const MutexLock lock(mutex_);
  while (count_ > 0) {
    if (!ended_.wait_until(mutex_, until)) return count_ == 0;
  }
  return true;
}

StreamRunner::StreamRunner(catalog::Stream row, std::shared_ptr<Shared> shared,
                           boost::asio::io_context& loop, ReadQueue& reads)
    : id_(row.id),
      organisation_(row.organisation),
      shared_(std::move(shared)),
      loop_(loop),
      reads_(reads),
      random_(std::random_device{}()),
      timer_(loop),
      catalog_has_{row.status,     row.status_before_pause,
                   row.last_error, row.remote_status,
                   row.revision,   row.start,
                   row.park_to,    row.applied_revision,
                   row.failing_s},
      in_error_(row.status == StreamStatus::Error) {
  StreamSnapshot& snapshot = published_.snapshot;
  snapshot.status = row.status;
  snapshot.last_error = row.last_error;
  snapshot.remote_status = row.remote_status;
  snapshot.next_offset = row.start;
  if (const auto entry = shared_->recovered(id_)) {
    snapshot.next_offset = std::max(row.start, entry->cursor);
    snapshot.delivered = entry->delivered;
    snapshot.aged_out = entry->aged_out;
    snapshot.damaged = entry->damaged;
    snapshot.dropped = entry->dropped;
  }
  shared_->metrics.streams(row.status).add(1);
  row_ = std::move(row);
}

StreamRunner::~StreamRunner() = default;

void StreamRunner::begin(const connectors::ConnectorContext& context,
                         filters::Evaluator& evaluator) {
  if (removed_) return;
  shared_->streams.add();
  const catalog::Stream row = std::exchange(row_, {});
  StreamSetup setup = set_up(row, shared_->find_connector, context);
  settings_revision_ = row.settings_revision;
  const DeliverySettings delivery = setup.settings.delivery;
  timeout_ = delivery.timeout;
  connector_ = std::move(setup.connector);
  reader_ = shared_->log.reader(organisation_, kinds_of(row.type));
  if (shared_->attempts != nullptr) attempts_ = shared_->attempts->stream(id_);
  machine_.emplace(
      StreamMachine::Options{
          .stream = id_,
          .organisation = organisation_,
          .settings = std::move(setup.settings),
          .evaluator = &evaluator,
          .chance = [this] { return std::uniform_real_distribution<double>(-1, 1)(random_); },
          .wall = [this] { return shared_->clock.now(); },
          .created = row.created,
      },
      StreamMachine::Start{
          .status = row.status,
          .before_pause = row.status_before_pause,
          .last_error = row.last_error,
          .remote_status = row.remote_status,
          .revision = row.revision,
          .failing = std::chrono::seconds(row.failing_s),
          .new_destination = row.destination_revision > row.applied_revision,
          .cursor = row.start,
          .entry = shared_->recovered(id_),
          .end = shared_->log.end(organisation_),
          .park_to = row.park_to,
      });
  watch_.emplace(AlertWatch::Options{.stream = id_,
                                     .organisation = organisation_,
                                     .created = row.created,
                                     .retention = shared_->retention,
                                     .sink = shared_->alerts},
                 delivery, *machine_);
  handle(machine_->begin(now()));
}

void StreamRunner::change(const catalog::Stream& changed,
                          const connectors::ConnectorContext& context) {
  if (removed_ || changed.settings_revision <= settings_revision_) return;
  const bool new_destination = changed.destination_revision > settings_revision_;
  settings_revision_ = changed.settings_revision;
  StreamSetup setup = set_up(changed, shared_->find_connector, context);
  next_ = Next{std::move(setup.connector), setup.settings.delivery.timeout};
  watch_->change(setup.settings.delivery);
  handle(machine_->change(std::move(setup.settings), new_destination, now()));
}

void StreamRunner::on_appended(Offset end) {
  if (machine_->is_behind()) return machine_->more_ready(end);
  handle(machine_->records_ready(end, now()));
}

void StreamRunner::read() {
  if (removed_) return;
  std::uint64_t bytes = 0;
  for (int reads = 0; reads < kTurnReads && bytes < kTurnBytes; ++reads) {
    const std::optional<Offset> from = machine_->wants_read();
    if (!from) break;
    const auto result = reader_->read(*from);
    if (result && result->chunk) bytes += result->chunk->joined.size();
    handle(machine_->read_done(result, now()));
  }
  read_queued_ = false;
  queue_read();
}

void StreamRunner::queue_read() {
  if (!machine_->wants_read() || std::exchange(read_queued_, true)) return;
  reads_.queue_read(shared_from_this());
}

void StreamRunner::release_memory() {
  if (memory_bytes_ > 0) handle(machine_->release(now()));
}

Result<void> StreamRunner::command(Command command) {
  if (removed_) return Error{ErrorCode::NotFound, "the stream has been deleted"};
  // What has been acknowledged by now came before the command.
  handle(machine_->records_ready(shared_->log.end(organisation_), now()));
  auto actions = machine_->command(command, now());
  if (!actions) return actions.error();
  handle(std::move(*actions));
  return {};
}

Result<void> StreamRunner::skip(Offset to, bool park) {
  if (removed_) return Error{ErrorCode::NotFound, "the stream has been deleted"};
  handle(machine_->records_ready(shared_->log.end(organisation_), now()));
  auto actions = machine_->skip(to, park, now());
  if (!actions) return actions.error();
  handle(std::move(*actions));
  return {};
}

void StreamRunner::stop() { handle(machine_->stop(now())); }

void StreamRunner::abandon() { handle(machine_->abandon(now())); }

void StreamRunner::remove(Journal::Done done) {
  removed_ = true;
  reader_.reset();
  timer_.cancel();
  cancel_send_.emit(boost::asio::cancellation_type::terminal);
  account();
  shared_->metrics.streams(snapshot().status).add(-1);
  if (!std::exchange(counted_as_stopped_, true)) shared_->streams.done();
  JournalEntry entry;
  entry.stream = id_;
  entry.kind = JournalEntry::Kind::Removed;
  shared_->journal->append(entry, std::move(done));
  shared_->catalog_writes.add();
  shared_->catalog_pool.post([shared = shared_, id = id_] {
    if (auto forgotten = shared->dead_letters.forget(id); !forgotten) {
      logging::warn("a deleted stream's dead letters cannot be removed",
                    {{"stream", id.value()}, {"error", forgotten.error().message}});
    }
    shared->catalog_writes.done();
  });
}

// The attempt begins last: it may end before this returns.
void StreamRunner::handle(Actions actions) {
  if (removed_) return;
  if (actions.freeze) append(*actions.freeze, &StreamMachine::frozen);
  if (actions.save) append(*actions.save, &StreamMachine::saved);
  if (actions.park) park(std::move(*actions.park));
  if (actions.cancel) cancel_send_.emit(boost::asio::cancellation_type::terminal);
  account();
  publish();
  watch_->look(*machine_, now(), shared_->clock.now());
  write_catalog_if_due();
  arm_timer();
  queue_read();
  if (machine_->stopped() && !std::exchange(counted_as_stopped_, true)) shared_->streams.done();
  if (actions.send != nullptr) send(*actions.send);
}

void StreamRunner::append(const JournalEntry& entry,
                          Actions (StreamMachine::*event)(const Result<void>&, SteadyTime)) {
  shared_->journal->append(entry, [self = shared_from_this(), event](Result<void> result) {
    boost::asio::post(self->loop_, [self, event, result = std::move(result)] {
      if (self->removed_) return;
      self->handle((*self->machine_.*event)(result, self->now()));
    });
  });
}

// The batch stays as it is until the machine hears of it, and the machine while `self` does.
void StreamRunner::park(Actions::Park park) {
  shared_->catalog_writes.add();
  shared_->catalog_pool.post([self = shared_from_this(), park = std::move(park)] {
    Shared& shared = *self->shared_;
    std::vector<catalog::DeadLetter> letters;
    for (const connectors::RecordRun& run : park.records->runs) {
      for (std::uint32_t i = run.begin; i < run.end; ++i) {
        letters.push_back({.offset = plus(run.chunk->first, i),
                           .record_id = run.chunk->columns[i].id,
                           .kind = run.chunk->kind,
                           .parked = shared.clock.now(),
                           .reason = park.reason,
                           .status = park.status,
                           .record = std::string(run.chunk->record(i))});
      }
    }
    const JournalSlot state = encode(park.behind, kParkedSequence);
    Result<void> result =
        shared.dead_letters.park(self->id_, letters, {state.data(), state.size()});
    if (result) shared.metrics.parked.add(static_cast<double>(letters.size()));
    boost::asio::post(self->loop_, [self, result = std::move(result)] {
      if (!self->removed_) self->handle(self->machine_->parked(result, self->now()));
    });
    shared.catalog_writes.done();
  });
}

void StreamRunner::send(const connectors::RecordBatch& batch) {
  if (next_) {
    connector_ = std::move(next_->connector);
    timeout_ = next_->timeout;
    next_.reset();
  }
  sent_at_ = now();
  sent_at_wall_ = shared_->clock.now();
  sent_bytes_ = batch.bytes;
  boost::asio::co_spawn(
      loop_, connector_->send(batch, sent_at_ + timeout_),
      boost::asio::bind_cancellation_slot(
          cancel_send_.slot(), [self = shared_from_this(), &batch](
                                   std::exception_ptr failure, connectors::SendOutcome outcome) {
            if (failure) {
              outcome = {connectors::RetryLater{"the attempt was broken off", {}, 0}, 500, false,
                         Fault::Us};
            }
            self->on_sent(batch, outcome);
          }));
}

void StreamRunner::on_sent(const connectors::RecordBatch& batch,
                           const connectors::SendOutcome& outcome) {
  if (removed_) return;
  const SteadyTime::duration took = now() - sent_at_;
  DispatchMetrics& metrics = shared_->metrics;
  metrics.attempts(outcome.decision).add();
  metrics.seconds.observe(std::chrono::duration<double>(took).count());
  if (attempts_ != nullptr) {
    const auto latency = std::chrono::duration_cast<std::chrono::microseconds>(took);
    attempts_->add(attempt_of(batch, outcome, sent_at_wall_, latency));
  }
  const std::uint64_t delivered = machine_->delivered();
  Actions actions = machine_->sent(outcome, now());
  if (machine_->delivered() != delivered) {
    metrics.records.add(static_cast<double>(machine_->delivered() - delivered));
    metrics.bytes.add(static_cast<double>(sent_bytes_));
  }
  handle(std::move(actions));
}

// An earlier alarm than needed does no harm, so that a stream in full flow rarely sets one.
void StreamRunner::arm_timer() {
  std::optional<SteadyTime> at = machine_->wake_at();
  if (!catalog_busy_ && catalog_state() != catalog_has_ && (!at || catalog_not_before_ < *at)) {
    at = catalog_not_before_;
  }
  if (const auto look_at = watch_->wake_at(); look_at && (!at || *look_at < *at)) at = look_at;
  if (!at || (timer_at_ && *timer_at_ <= *at)) return;
  timer_at_ = at;
  timer_.expires_after(*at - now());
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (error || self->removed_) return;
    self->timer_at_.reset();
    self->handle(self->machine_->timer(self->now()));
  });
}

void StreamRunner::account() {
  const auto bytes = removed_ ? 0 : static_cast<std::int64_t>(machine_->memory_bytes());
  const std::int64_t more = bytes - std::exchange(memory_bytes_, bytes);
  if (more == 0) return;
  shared_->memory_bytes += more;
  shared_->metrics.in_flight_bytes.add(static_cast<double>(more));
}

void StreamRunner::publish() {
  const std::optional<SteadyTime> next = machine_->next_attempt();
  std::optional<WallTime> next_wall;
  if (next) {
    const auto wait = std::chrono::duration_cast<milliseconds>(*next - now());
    next_wall = WallTime{shared_->clock.now().ms + wait.count()};
  }
  if (machine_->status() == StreamStatus::Error && !std::exchange(in_error_, true)) log_error();
  if (machine_->status() != StreamStatus::Error) in_error_ = false;
  const MutexLock lock(mutex_);
  StreamSnapshot& snapshot = published_.snapshot;
  if (snapshot.status != machine_->status()) {
    shared_->metrics.streams(snapshot.status).add(-1);
    shared_->metrics.streams(machine_->status()).add(1);
    snapshot.status = machine_->status();
  }
  if (snapshot.last_error != machine_->last_error()) snapshot.last_error = machine_->last_error();
  snapshot.remote_status = machine_->remote_status();
  snapshot.delivered = machine_->delivered();
  snapshot.aged_out = machine_->losses().aged_out;
  snapshot.damaged = machine_->losses().damaged;
  snapshot.dropped = machine_->dropped();
  snapshot.next_offset = machine_->cursor();
  snapshot.next_attempt = next_wall;
  published_.oldest_stored = machine_->oldest_stored();
}

void StreamRunner::log_error() const {
  logging::warn("stream is in Error", {{"stream", id_.value()},
                                       {"organisation", organisation_.value()},
                                       {"reason", machine_->last_error()}});
}

StreamSnapshot StreamRunner::snapshot() const {
  Published published;
  {
    const MutexLock lock(mutex_);
    published = published_;
  }
  StreamSnapshot& snapshot = published.snapshot;
  snapshot.dead_letters = shared_->dead_letters.count(id_);
  const Offset end = shared_->log.end(organisation_);
  if (end > snapshot.next_offset) snapshot.lag_records = end.value() - snapshot.next_offset.value();
  if (published.oldest_stored) {
    const std::int64_t age_ms = shared_->clock.now().ms - published.oldest_stored->ms;
    snapshot.lag_s = std::max<std::int64_t>(0, age_ms / 1000);
  }
  return snapshot;
}

// ---- The catalog: told late, never waited for by a delivery ------------------------------------

StreamRunner::CatalogState StreamRunner::catalog_state() const {
  const auto failing = machine_->failing_for(now()) / kFailingStep * kFailingStep;
  return {machine_->kept_status(),
          machine_->before_pause(),
          machine_->kept_error(),
          machine_->remote_status(),
          machine_->revision(),
          machine_->start(),
          machine_->park_to(),
          machine_->settings_revision(),
          static_cast<std::uint32_t>(failing.count())};
}

void StreamRunner::await_catalog(std::function<void(Result<void>)> done) {
  const CatalogState state = catalog_state();
  if (!catalog_busy_ && state == catalog_has_) {
    done({});
    return;
  }
  const bool under_way = catalog_busy_ && state == catalog_writes_ &&
                         catalog_waiters_served_ == catalog_waiters_.size();
  catalog_waiters_.push_back(std::move(done));
  if (under_way) ++catalog_waiters_served_;
  if (!catalog_busy_) write_catalog();
}

void StreamRunner::write_catalog_if_due() {
  if (catalog_busy_) return;
  const bool status_changed = machine_->kept_status() != catalog_has_.status;
  if (now() < catalog_not_before_ && !(status_changed && !catalog_failing_)) return;
  if (catalog_state() != catalog_has_) write_catalog();
}

void StreamRunner::write_catalog() {
  catalog_busy_ = true;
  catalog_writes_ = catalog_state();
  catalog_waiters_served_ = catalog_waiters_.size();
  shared_->catalog_writes.add();
  shared_->catalog_pool.post([self = shared_from_this(), state = catalog_writes_] {
    Shared& shared = *self->shared_;
    catalog::Stream row;
    row.id = self->id_;
    row.organisation = self->organisation_;
    row.status = state.status;
    row.status_before_pause = state.before_pause;
    row.last_error = state.last_error;
    row.remote_status = state.remote_status;
    row.revision = state.revision;
    row.start = state.start;
    row.park_to = state.park_to;
    row.applied_revision = state.applied_revision;
    row.failing_s = state.failing_s;
    Result<void> result = shared.catalog.update_stream(row, shared.clock.now());
    boost::asio::post(self->loop_,
                      [self, result = std::move(result)] { self->catalog_written(result); });
    shared.catalog_writes.done();
  });
}

void StreamRunner::catalog_written(const Result<void>& result) {
  catalog_busy_ = false;
  // NotFound: it is being deleted, and there is nothing left to keep.
  catalog_failing_ = !result && result.error().code != ErrorCode::NotFound;
  catalog_not_before_ = now() + kCatalogInterval;
  if (!catalog_failing_) {
    catalog_has_ = catalog_writes_;
  } else if (!removed_) {
    logging::warn("stream state cannot be written to the catalog",
                  {{"stream", id_.value()}, {"error", result.error().message}});
  }
  const auto end = catalog_waiters_.begin() + static_cast<std::ptrdiff_t>(catalog_waiters_served_);
  std::vector<std::function<void(Result<void>)>> served(
      std::make_move_iterator(catalog_waiters_.begin()), std::make_move_iterator(end));
  catalog_waiters_.erase(catalog_waiters_.begin(), end);
  for (auto& waiter : served) waiter(result);
  if (removed_) {
    for (auto& waiter : std::exchange(catalog_waiters_, {})) {
      waiter(Error{ErrorCode::NotFound, "the stream has been deleted"});
    }
    return;
  }
  if (!catalog_waiters_.empty()) {
    write_catalog();
  } else {
    arm_timer();
  }
}

}  // namespace sluice::dispatch
