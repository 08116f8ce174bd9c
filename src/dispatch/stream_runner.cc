#include "dispatch/stream_runner.h"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <utility>

#include "base/logging.h"
#include "dispatch/stream_setup.h"

namespace sluice::dispatch {
namespace {

using catalog::StreamStatus;
using std::chrono::milliseconds;

// Between catalog writes that nobody waits for, and after one that failed.
constexpr milliseconds kCatalogInterval{2000};

Error handed_over() {
  return {ErrorCode::Conflict, "another stream takes its place at this moment, or has done so"};
}

Error deleted() { return {ErrorCode::NotFound, "the stream has been deleted"}; }

}  // namespace

StreamRunner::StreamRunner(catalog::Stream row, std::shared_ptr<Shared> shared,
                           boost::asio::io_context& loop, ReadQueue& reads)
    : MachineRunner(row.id, row.organisation, std::move(shared), loop, reads),
      reads_(reads),
      catalog_has_(row_state(row)),
      in_error_(row.status == StreamStatus::Error),
      hand_over_(row.replaced_by ? HandOver::Done : HandOver::None) {
  StreamSnapshot& snapshot = published_.snapshot;
  snapshot.status = start_status(row);
  snapshot.last_error = row.last_error;
  snapshot.remote_status = row.remote_status;
  snapshot.next_offset = row.start;
  if (const auto entry = shared_->recovered(id_)) {
    snapshot.next_offset = std::max(row.start, entry->cursor);
    snapshot.delivered = entry->delivered;
    snapshot.aged_out = entry->aged_out;
    snapshot.damaged = entry->damaged;
    snapshot.skipped = entry->skipped;
    snapshot.dropped = entry->dropped;
  }
  // No attempt is made before the journal has an entry.
  if (row.remote_status && !row.replaced_by && !shared_->journal->recovered(id_)) {
    shared_->metrics.journal_lost.add(1);
    logging::error(
        "the stream journal has lost a stream: it goes on where it began, or parked records last, "
        "and delivers again what is kept from there",
        {{"stream", id_.value()}, {"offset", snapshot.next_offset.value()}});
  }
  shared_->metrics.streams(snapshot.status).add(1);
  row_ = std::move(row);
}

StreamRunner::~StreamRunner() = default;

void StreamRunner::begin(const connectors::ConnectorContext& context,
                         filters::Evaluator& evaluator) {
  if (removed_) return;
  const catalog::Stream row = std::exchange(row_, {});
  settings_revision_ = row.settings_revision;
  StreamSetup setup = set_up(row, shared_->find_connector, context);
  const DeliverySettings delivery = setup.settings.delivery;
  StreamMachine::Options options;
  options.evaluator = &evaluator;
  options.created = row.created;
  make_machine(std::move(setup), kinds_of(row.type), std::move(options),
               start_of(row, shared_->log.end(organisation_)));
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
  if (const auto replay = this->replay()) replay->change(changed, new_destination, context);
  StreamSetup setup = set_up(changed, shared_->find_connector, context);
  watch_->change(setup.settings.delivery);
  MachineRunner::change(std::move(setup), new_destination);
}

void StreamRunner::on_appended(Offset end) {
  if (machine_->is_behind()) return machine_->more_ready(end);
  handle(machine_->records_ready(end, now()));
}

void StreamRunner::release_memory() {
  if (const auto replay = this->replay()) replay->release_memory();
  MachineRunner::release_memory();
}

Result<void> StreamRunner::command(Command command) {
  if (removed_) return deleted();
  if (hand_over_ != HandOver::None) return handed_over();
  // What has been acknowledged by now came before the command.
  handle(machine_->records_ready(shared_->log.end(organisation_), now()));
  auto actions = machine_->command(command, now());
  if (!actions) return actions.error();
  handle(std::move(*actions));
  return {};
}

Result<void> StreamRunner::skip(Offset to, bool park) {
  if (removed_) return deleted();
  if (hand_over_ != HandOver::None) return handed_over();
  handle(machine_->records_ready(shared_->log.end(organisation_), now()));
  auto actions = machine_->skip(to, park, now());
  if (!actions) return actions.error();
  handle(std::move(*actions));
  return {};
}

void StreamRunner::stop() {
  stopping_ = true;
  if (const auto replay = this->replay()) replay->stop();
  MachineRunner::stop();
}

void StreamRunner::abandon() {
  if (const auto replay = this->replay()) replay->abandon();
  MachineRunner::abandon();
}

void StreamRunner::close() {
  if (const auto replay = this->replay()) replay->close();
  MachineRunner::close();
}

void StreamRunner::remove(Journal::Done done) {
  if (const auto replay = this->replay()) replay->remove();
  halt();
  shared_->metrics.streams(snapshot().status).add(-1);
  forget(std::move(done));
  shared_->catalog_writes.add();
  shared_->catalog_pool.post([shared = shared_, id = id_] {
    if (auto forgotten = shared->dead_letters.forget(id); !forgotten) {
      logging::warn("a deleted stream's dead letters cannot be removed",
                    {{"stream", id.value()}, {"error", forgotten.error().message}});
    }
    shared->catalog_writes.done();
  });
}

void StreamRunner::moved() {
  publish();
  watch_->look(*machine_, now(), shared_->clock.now());
  write_catalog_if_due();
  steer_replay();
  if (hand_over_waiter_ && machine_->closed()) {
    std::exchange(hand_over_waiter_, nullptr)(Result<void>{});
  }
}

std::optional<SteadyTime> StreamRunner::wants_look() const {
  std::optional<SteadyTime> at = watch_->wake_at();
  const bool outdated = !catalog_busy_ && catalog_is_outdated();
  if (outdated && (!at || catalog_not_before_ < *at)) at = catalog_not_before_;
  return at;
}

// ---- The replay beside it ----------------------------------------------------------------------

std::shared_ptr<ReplayRunner> StreamRunner::replay() const {
  const MutexLock lock(mutex_);
  return replay_;
}

Result<void> StreamRunner::replay(const catalog::Stream& stream, catalog::Replay replay,
                                  const connectors::ConnectorContext& context,
                                  filters::Evaluator& evaluator) {
  if (removed_) return deleted();
  if (hand_over_ != HandOver::None) return handed_over();
  // One that begins now would not be told to end.
  if (stopping_) return Error{ErrorCode::Cancelled, "the server is stopping"};
  if (this->replay()) return Error{ErrorCode::Conflict, "a replay of the stream is under way"};
  if (machine_->kept_status() == StreamStatus::Disabled) {
    return Error{ErrorCode::Conflict, "the stream is disabled: set its status to 1 first"};
  }
  if (stream.settings_revision < settings_revision_) {
    return Error{ErrorCode::Conflict, "the stream was changed at the same moment: try again"};
  }
  begin_replay(stream, std::move(replay), context, evaluator);
  steer_replay();
  return {};
}

void StreamRunner::go_on_with(const catalog::Stream& stream, catalog::Replay replay,
                              const connectors::ConnectorContext& context,
                              filters::Evaluator& evaluator) {
  if (removed_) return;
  const auto runner = begin_replay(stream, std::move(replay), context, evaluator);
  if (hand_over_ == HandOver::Done) return runner->cancel([](auto) {});
  steer_replay();
}

std::shared_ptr<ReplayRunner> StreamRunner::begin_replay(
    const catalog::Stream& stream, catalog::Replay replay,
    const connectors::ConnectorContext& context, filters::Evaluator& evaluator) {
  auto over = [weak = std::weak_ptr(self<StreamRunner>())] {
    const auto self = weak.lock();
    if (!self) return;
    const MutexLock lock(self->mutex_);
    self->replay_.reset();
  };
  auto runner = std::make_shared<ReplayRunner>(std::move(replay), organisation_, shared_, loop_,
                                               reads_, std::move(over));
  {
    const MutexLock lock(mutex_);
    replay_ = runner;
  }
  runner->begin(stream, context, evaluator);
  return runner;
}

void StreamRunner::cancel_replay(ReplayId replay, std::function<void(Result<void>)> done) {
  const std::shared_ptr<ReplayRunner> runner = this->replay();
  if (removed_ || !runner || runner->replay() != replay) {
    return done(Error{ErrorCode::NotFound, "the replay has ended"});
  }
  runner->cancel(std::move(done));
}

std::optional<ReplayProgress> StreamRunner::replay_progress() const {
  const std::shared_ptr<ReplayRunner> runner = replay();
  if (!runner) return std::nullopt;
  return runner->progress();
}

// It waits while the stream itself cannot send, or tries in vain.
void StreamRunner::steer_replay() {
  const std::shared_ptr<ReplayRunner> runner = replay();
  if (!runner || runner->ended()) return;
  if (machine_->kept_status() == StreamStatus::Disabled) return runner->cancel([](auto) {});
  runner->hold(machine_->status() != StreamStatus::Running || machine_->failing());
}

// ---- Another takes its place -------------------------------------------------------------------

void StreamRunner::begin_hand_over(std::function<void(Result<void>)> done) {
  if (removed_) return done(deleted());
  if (hand_over_ != HandOver::None) return done(handed_over());
  if (replay()) {
    return done(Error{ErrorCode::Conflict,
                      "a replay of the stream is under way: await its end, or cancel it"});
  }
  if (machine_->kept_status() == StreamStatus::Disabled) {
    return done(Error{ErrorCode::Conflict, "the stream is disabled"});
  }
  if (machine_->park_to()) {
    return done(Error{ErrorCode::Conflict, "records of the stream are being skipped: try again"});
  }
  hand_over_ = HandOver::UnderWay;
  hand_over_waiter_ = std::move(done);
  handle(machine_->close(now()));
}

void StreamRunner::end_hand_over(std::optional<StreamId> successor) {
  if (removed_ || hand_over_ != HandOver::UnderWay) return;
  hand_over_ = successor ? HandOver::Done : HandOver::None;
  if (successor) {
    // What it shows until it is deleted.
    auto paused = machine_->command(Command::Pause, now());
    if (paused) handle(std::move(*paused));
    if (shared_->alerts != nullptr) {
      // About the new one, which therefore is not sent it.
      shared_->alerts->alert({.stream = *successor,
                              .organisation = organisation_,
                              .kind = AlertKind::HandOver,
                              .reason = fmt::format("it took the place of stream {} at offset {}",
                                                    id_.value(), machine_->cursor().value())});
    }
    return;
  }
  handle(machine_->reopen(now()));
}

Dispatch::Standing StreamRunner::standing() const {
  const MutexLock lock(mutex_);
  return {published_.snapshot.next_offset, published_.in_doubt};
}

// ---- How it stands -----------------------------------------------------------------------------

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
  snapshot.skipped = machine_->skipped();
  snapshot.dropped = machine_->dropped();
  snapshot.next_offset = machine_->cursor();
  snapshot.next_attempt = next_wall;
  snapshot.handing_over = hand_over_ == HandOver::UnderWay;
  published_.in_doubt = machine_->in_doubt();
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

void StreamRunner::await_catalog(std::function<void(Result<void>)> done) {
  const RowState state = this->state();
  if (!catalog_busy_ && !catalog_is_outdated()) {
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
  if (catalog_is_outdated()) write_catalog();
}

void StreamRunner::write_catalog() {
  catalog_busy_ = true;
  catalog_writes_ = state();
  catalog_waiters_served_ = catalog_waiters_.size();
  shared_->catalog_writes.add();
  shared_->catalog_pool.post([self = self<StreamRunner>(), state = catalog_writes_] {
    Shared& shared = *self->shared_;
    catalog::Stream row;
    row.id = self->id_;
    row.organisation = self->organisation_;
    put(state, row);
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
