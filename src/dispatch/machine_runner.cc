#include "dispatch/machine_runner.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/logging.h"
#include "dispatch/attempt_of.h"

namespace sluice::dispatch {
namespace {

using catalog::StreamStatus;

constexpr std::uint64_t kTurnBytes = 256 * 1024;
constexpr int kTurnReads = 32;
constexpr int kMarginPart = 16;  // of all memory: about what the next batch will take

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
                              "Bytes of the log that streams hold in memory.")),
      full_streams(m.gauge("sluice_delivery_full_streams",
                           "Streams and replays that hold as many bytes as one may.")),
      held_back(m.gauge("sluice_delivery_held_back_streams",
                        "Streams and replays that begin no batch while others of their "
                        "organisation use as many bytes as are free.")),
      journal_lost(m.counter("sluice_journal_lost_streams_total",
                             "Streams that the stream journal no longer knew at the start: "
                             "they deliver again.")) {}

Counter& DispatchMetrics::attempts(const connectors::Decision& decision) {
  // In the order of the variant.
  Counter* const counters[] = {&attempts_delivered,     &attempts_retry, &attempts_rejected,
                               &attempts_misconfigured, &attempts_gone,  &attempts_rejected};
  static_assert(std::size(counters) == std::variant_size_v<connectors::Decision>);
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

std::shared_ptr<Shared::Held> Shared::held_by(OrganisationId organisation) {
  const MutexLock lock(held_mutex_);
  std::weak_ptr<Held>& known = held_[organisation];
  std::shared_ptr<Held> held = known.lock();
  if (held == nullptr) known = held = std::make_shared<Held>();
  return held;
}

std::optional<JournalEntry> Shared::recovered(StreamId key) const {
  const auto found = parked_states.find(key);
  std::optional<JournalEntry> parked;
  if (found != parked_states.end()) parked = found->second.entry;
  return further(journal->recovered(key), parked);
}

SettledAhead Shared::recovered_ahead(StreamId key) const {
  const auto found = parked_states.find(key);
  return found == parked_states.end() ? SettledAhead{} : found->second.ahead;
}

bool Pending::wait_until(std::chrono::steady_clock::time_point until) {
  const MutexLock lock(mutex_);
  while (count_ > 0) {
    if (!ended_.wait_until(mutex_, until)) return count_ == 0;
  }
  return true;
}

MachineRunner::MachineRunner(StreamId stream, OrganisationId organisation,
                             std::shared_ptr<Shared> shared, boost::asio::io_context& loop,
                             ReadQueue& reads)
    : id_(stream),
      organisation_(organisation),
      shared_(std::move(shared)),
      held_(shared_->held_by(organisation)),
      loop_(loop),
      reads_(reads),
      random_(std::random_device{}()),
      key_(stream),
      timer_(loop) {}

MachineRunner::~MachineRunner() {
  const MachineRunner* self = this;
  held_->completing.compare_exchange_strong(self, nullptr);
}

void MachineRunner::make_machine(StreamSetup setup, std::optional<KindSet> kinds,
                                 StreamMachine::Options options, StreamMachine::Start start) {
  shared_->streams.add();
  way_ = {std::move(setup.make_connector), setup.settings.delivery.timeout, std::move(setup.host)};
  kinds_ = kinds;
  if (kinds_) reader_ = shared_->log.reader(organisation_, *kinds_);
  if (options.replay) key_ = catalog::replay_key(options.replay->id);
  options.stream = id_;
  options.organisation = organisation_;
  options.settings = std::move(setup.settings);
  options.memory_bytes_max = shared_->stream_memory_bytes_max;
  options.chance = [this] { return std::uniform_real_distribution<double>(-1, 1)(random_); };
  options.wall = [this] { return shared_->clock.now(); };
  options.pace = [this](SteadyTime at) {
    return shared_->pacer.take(next_way_ ? next_way_->host : way_.host, at);
  };
  start.entry = shared_->recovered(key_);
  start.ahead = shared_->recovered_ahead(key_);
  machine_.emplace(std::move(options), std::move(start));
}

void MachineRunner::change(StreamSetup setup, bool new_destination) {
  next_way_ =
      Way{std::move(setup.make_connector), setup.settings.delivery.timeout, std::move(setup.host)};
  handle(machine_->change(std::move(setup.settings), new_destination, now()));
}

bool MachineRunner::held_back() {
  const bool held = is_to_wait();
  if (std::exchange(is_held_back_, held) != held) shared_->metrics.held_back.add(held ? 1 : -1);
  return held;
}

bool MachineRunner::is_to_wait() const {
  const std::int64_t held = held_->bytes;
  const std::int64_t room = shared_->memory_bytes_max - shared_->used_bytes;
  if (removed_ || held == 0 || held <= room - shared_->memory_bytes_max / kMarginPart) return false;
  if (!machine_->amid_a_batch()) return true;
  const MachineRunner* completing = nullptr;
  return !held_->completing.compare_exchange_strong(completing, this) && completing != this;
}

void MachineRunner::read() {
  if (removed_) return;
  std::uint64_t bytes = 0;
  reads_on_ = true;
  for (int reads = 0; reads < kTurnReads && bytes < kTurnBytes; ++reads) {
    const std::optional<Offset> from = machine_->wants_read();
    if (!from) {
      reads_on_ = false;
      break;
    }
    const auto result = reader_->read(*from);
    if (result && result->chunk) bytes += result->chunk->joined.size();
    handle(machine_->read_done(result, now()));
    if (removed_) return;
  }
  read_queued_ = false;
  queue_read();
}

void MachineRunner::queue_read() {
  if (!machine_->wants_read() || std::exchange(read_queued_, true)) return;
  reads_.queue_read(shared_from_this());
}

void MachineRunner::release_memory() {
  if (memory_bytes_ > 0) handle(machine_->release(now()));
}

void MachineRunner::stop() { handle(machine_->stop(now())); }

void MachineRunner::abandon() { handle(machine_->abandon(now())); }

void MachineRunner::halt() {
  removed_ = true;
  timer_.cancel();
  cancel_attempts();
  close_readers();
  account();
  if (!std::exchange(counted_as_stopped_, true)) shared_->streams.done();
}

void MachineRunner::forget(Journal::Done done) {
  JournalEntry entry;
  entry.stream = key_;
  entry.kind = JournalEntry::Kind::Removed;
  shared_->journal->append(entry, std::move(done));
}

// Attempts begin last: they may end before this returns.
void MachineRunner::handle(Actions actions) {
  if (removed_) return;
  if (actions.freeze) append(*actions.freeze, &StreamMachine::frozen);
  if (actions.save) append(*actions.save, &StreamMachine::saved);
  if (actions.park) park(std::move(*actions.park));
  if (actions.cancel) cancel_attempts();
  account();
  moved();
  if (removed_) return;
  arm_timer();
  queue_read();
  if (machine_->stopped() && !std::exchange(counted_as_stopped_, true)) shared_->streams.done();
  for (const connectors::RecordBatch* batch : actions.send) {
    if (!removed_) send(*batch);
  }
}

void MachineRunner::append(const JournalEntry& entry,
                           Actions (StreamMachine::*event)(const Result<void>&, SteadyTime)) {
  shared_->journal->append(entry, [self = shared_from_this(), event](Result<void> result) {
    boost::asio::post(self->loop_, [self, event, result = std::move(result)] {
      if (self->removed_) return;
      self->handle((*self->machine_.*event)(result, self->now()));
    });
  });
}

// The batch stays as it is until the machine hears of it, and the machine while `self` does.
void MachineRunner::park(Actions::Park park) {
  shared_->catalog_writes.add();
  shared_->catalog_pool.post([self = shared_from_this(), park = std::move(park)] {
    Shared& shared = *self->shared_;
    Result<void> result = store(park, self->id_, shared.dead_letters, shared.clock.now());
    if (result && park.records) {
      shared.metrics.parked.add(static_cast<double>(park.records->records));
    }
    boost::asio::post(self->loop_, [self, result = std::move(result)] {
      if (!self->removed_) self->handle(self->machine_->parked(result, self->now()));
    });
    shared.catalog_writes.done();
  });
}

void MachineRunner::send(const connectors::RecordBatch& batch) {
  if (next_way_) way_ = *std::exchange(next_way_, std::nullopt);
  if (way_.idle.empty()) way_.idle.push_back(way_.make_connector());
  const auto attempt = std::make_shared<Attempt>();
  attempt->batch = &batch;
  attempt->connector = std::move(way_.idle.back());
  attempt->begun = now();
  attempt->begun_wall = shared_->clock.now();
  way_.idle.pop_back();
  attempts_under_way_.push_back(attempt);
  if (batch.runs.empty()) attempt->streamed = with_source(batch);
  const connectors::RecordBatch& given = attempt->streamed ? attempt->streamed->batch : batch;
  boost::asio::co_spawn(
      loop_, attempt->connector->send(given, attempt->begun + way_.timeout),
      boost::asio::bind_cancellation_slot(
          attempt->cancel.slot(), [self = shared_from_this(), attempt](
                                      std::exception_ptr failure, connectors::SendOutcome outcome) {
            if (failure) {
              outcome = {connectors::RetryLater{"the attempt was broken off", {}, 0}, 500, false,
                         Fault::Us};
            }
            self->on_sent(attempt, outcome);
          }));
}

std::unique_ptr<MachineRunner::Streamed> MachineRunner::with_source(
    const connectors::RecordBatch& batch) const {
  SLUICE_ASSERT(kinds_.has_value());
  LogSource source(shared_->log.reader(organisation_, *kinds_), machine_->selection(), batch);
  auto streamed = std::make_unique<Streamed>(Streamed{std::move(source), batch});
  streamed->batch.source = &streamed->source;
  return streamed;
}

void MachineRunner::close_readers() {
  reader_.reset();
  for (const auto& attempt : attempts_under_way_) {
    if (attempt->streamed != nullptr) attempt->streamed->source.close();
  }
}

void MachineRunner::close() {
  close_readers();
  way_.idle.clear();
}

// One that ends at once takes itself off the list.
void MachineRunner::cancel_attempts() {
  const auto under_way = attempts_under_way_;
  for (const auto& attempt : under_way) {
    attempt->cancel.emit(boost::asio::cancellation_type::terminal);
  }
}

void MachineRunner::on_sent(const std::shared_ptr<Attempt>& attempt,
                            const connectors::SendOutcome& outcome) {
  std::erase(attempts_under_way_, attempt);
  if (removed_) return;
  if (!next_way_) way_.idle.push_back(std::move(attempt->connector));
  const connectors::RecordBatch& batch = *attempt->batch;
  const SteadyTime::duration took = now() - attempt->begun;
  DispatchMetrics& metrics = shared_->metrics;
  const bool was_tried = !connectors::all_skipped(batch, outcome);
  if (was_tried) {
    metrics.attempts(outcome.decision).add();
    metrics.seconds.observe(std::chrono::duration<double>(took).count());
  }
  if (shared_->attempts != nullptr && was_tried) {
    if (!attempts_) attempts_ = shared_->attempts->stream(id_);
    const auto latency = std::chrono::duration_cast<std::chrono::microseconds>(took);
    attempts_->add(attempt_of(batch, outcome, attempt->begun_wall, latency));
  }
  const std::uint64_t delivered = machine_->delivered();
  const std::uint64_t bytes = batch.bytes;
  Actions actions = judge(batch, outcome);
  if (machine_->delivered() != delivered) {
    metrics.records.add(static_cast<double>(machine_->delivered() - delivered));
    metrics.bytes.add(static_cast<double>(bytes));
  }
  handle(std::move(actions));
}

Actions MachineRunner::judge(const connectors::RecordBatch& batch,
                             const connectors::SendOutcome& outcome) {
  return machine_->sent(batch, outcome, now());
}

// An earlier alarm than needed does no harm, so that a stream in full flow rarely sets one.
void MachineRunner::arm_timer() {
  std::optional<SteadyTime> at = machine_->wake_at();
  const std::optional<SteadyTime> look = wants_look();
  if (look && (!at || *look < *at)) at = look;
  if (!at || (timer_at_ && *timer_at_ <= *at)) return;
  timer_at_ = at;
  timer_.expires_after(*at - now());
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (error || self->removed_) return;
    self->timer_at_.reset();
    self->handle(self->machine_->timer(self->now()));
  });
}

void MachineRunner::account() {
  const bool completes = !removed_ && machine_->wants_read() && machine_->amid_a_batch();
  if (!completes && held_->completing == this) held_->completing = nullptr;
  const auto bytes = removed_ ? 0 : static_cast<std::int64_t>(machine_->memory_bytes());
  const std::int64_t used = !removed_ && machine_->uses_memory() ? bytes : 0;
  const std::int64_t more_used = used - std::exchange(used_bytes_, used);
  if (more_used != 0) {
    shared_->used_bytes += more_used;
    held_->bytes += more_used;
  }
  const std::int64_t more = bytes - std::exchange(memory_bytes_, bytes);
  if (more == 0) return;
  const bool is_full = static_cast<std::uint64_t>(bytes) >= shared_->stream_memory_bytes_max;
  if (std::exchange(is_full_, is_full) != is_full) {
    shared_->metrics.full_streams.add(is_full ? 1 : -1);
  }
  shared_->memory_bytes += more;
  shared_->metrics.in_flight_bytes.add(static_cast<double>(more));
}

}  // namespace sluice::dispatch
