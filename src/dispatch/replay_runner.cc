#include "dispatch/replay_runner.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/logging.h"
#include "catalog/under_way.h"
#include "dispatch/parked_letters.h"
#include "dispatch/replay_policy.h"
#include "dispatch/stream_row.h"

namespace sluice::dispatch {
namespace {

using catalog::ReplayState;
using catalog::StreamStatus;

constexpr std::chrono::milliseconds kTryAgainAfter{2000};  // our own disk

}  // namespace

ReplayRunner::ReplayRunner(catalog::Replay replay, OrganisationId organisation,
                           std::shared_ptr<Shared> shared, boost::asio::io_context& loop,
                           ReadQueue& reads, std::function<void()> over)
    : MachineRunner(replay.stream, organisation, std::move(shared), loop, reads),
      replay_(replay.id),
      of_dead_letters_(replay.of_dead_letters),
      over_(std::move(over)),
      end_timer_(loop),
      row_(std::move(replay)) {}

StreamSetup ReplayRunner::set_up_as(const catalog::Stream& stream,
                                    const connectors::ConnectorContext& context) const {
  const MutexLock lock(mutex_);
  return set_up(row_, stream, shared_->find_connector, context);
}

void ReplayRunner::begin(const catalog::Stream& stream, const connectors::ConnectorContext& context,
                         filters::Evaluator& evaluator) {
  StreamMachine::Start start;
  {
    const MutexLock lock(mutex_);
    start = start_of(row_);
  }
  StreamMachine::Options options;
  options.evaluator = &evaluator;
  options.created = stream.created;
  options.replay = StreamMachine::Options::Replay{replay_, start.end};
  std::optional<KindSet> kinds;
  if (!of_dead_letters_) kinds = kinds_of(stream.type);
  make_machine(set_up_as(stream, context), kinds, std::move(options), std::move(start));
  handle(machine_->begin(now()));
}

void ReplayRunner::change(const catalog::Stream& changed, bool new_destination,
                          const connectors::ConnectorContext& context) {
  MachineRunner::change(set_up_as(changed, context), new_destination);
}

void ReplayRunner::hold(bool hold) {
  if (removed_ || std::exchange(held_, hold) == hold) return;
  {
    const MutexLock lock(mutex_);
    waits_ = hold;
  }
  auto actions = machine_->command(hold ? Command::Pause : Command::Resume, now());
  if (actions) handle(std::move(*actions));
}

// ---- Reading -----------------------------------------------------------------------------------

// Dead letters are asked for on the catalog's pool: SQLite blocks.
void ReplayRunner::read() {
  if (!of_dead_letters_) return MachineRunner::read();
  if (removed_) return;
  const std::optional<Offset> asked = machine_->wants_read();
  if (!asked) {
    read_queued_ = false;
    return;
  }
  shared_->catalog_writes.add();
  shared_->catalog_pool.post([self = self<ReplayRunner>(), asked = *asked, end = end_of_range()] {
    auto result =
        read_marked(self->shared_->dead_letters, self->id_, self->organisation_, asked, end);
    boost::asio::post(self->loop_, [self, asked, result = std::move(result)]() mutable {
      self->letter_read(asked, std::move(result));
    });
    self->shared_->catalog_writes.done();
  });
}

void ReplayRunner::letter_read(Offset asked, Result<recordlog::ReadResult> result) {
  read_queued_ = false;
  if (removed_) return;
  if (machine_->wants_read() != asked) return queue_read();  // something has changed meanwhile
  handle(machine_->read_done(result, now()));
}

Offset ReplayRunner::end_of_range() const {
  const MutexLock lock(mutex_);
  return row_.to;
}

// ---- What becomes of it ------------------------------------------------------------------------

Actions ReplayRunner::judge(const connectors::RecordBatch& batch,
                            const connectors::SendOutcome& outcome) {
  Actions actions =
      judge_replay(*machine_, batch, outcome, now(), of_dead_letters_ ? &settled_ : nullptr);
  flush_settled();
  return actions;
}

// What arrived is no dead letter any more. Should a crash forget that, it is sent once again.
void ReplayRunner::flush_settled() {
  if (settled_.empty() || flushing_) return;
  flushing_ = true;
  flush_at_.reset();
  shared_->catalog_writes.add();
  shared_->catalog_pool.post([self = self<ReplayRunner>(), settled = settled_] {
    const auto removed = self->shared_->dead_letters.remove(self->id_, settled);
    boost::asio::post(self->loop_, [self, count = settled.size(), done = removed.has_value()] {
      self->flushed(done ? count : 0);
      // Only now: a stop waits for what settled in the meantime too.
      self->shared_->catalog_writes.done();
    });
  });
}

void ReplayRunner::flushed(std::size_t count) {
  flushing_ = false;
  if (removed_) return;
  settled_.erase(settled_.begin(), settled_.begin() + static_cast<std::ptrdiff_t>(count));
  if (count == 0) flush_at_ = now() + kTryAgainAfter;
  handle({});
}

void ReplayRunner::moved() {
  if (!flush_at_ || now() >= *flush_at_) flush_settled();
  {
    const MutexLock lock(mutex_);
    row_.sent = machine_->delivered();
    row_.parked = machine_->parked_count();
    row_.error = machine_->last_error();
    if (row_.total) *row_.total -= machine_->skipped() - skipped_;  // they are not to be sent
    skipped_ = machine_->skipped();
    if (!row_.total) {
      if (const auto rest = machine_->rest()) row_.total = row_.sent + row_.parked + *rest;
    }
  }
  if (machine_->kept_status() == StreamStatus::Error) return conclude(ReplayState::Failed);
  if (machine_->finished() && settled_.empty()) conclude(ReplayState::Done);
}

void ReplayRunner::cancel(std::function<void(Result<void>)> done) {
  end_waiters_.push_back(std::move(done));
  if (!removed_) conclude(ReplayState::Cancelled);
}

void ReplayRunner::conclude(ReplayState state) {
  halt();
  {
    const MutexLock lock(mutex_);
    row_.state = state;
    if (state == ReplayState::Done) {
      if (!row_.total) row_.total = row_.sent + row_.parked;
      row_.error.clear();
    }
  }
  write_end();
}

// The journal forgets it last: without the catalog the replay would begin anew.
void ReplayRunner::write_end() {
  catalog::Replay row;
  {
    const MutexLock lock(mutex_);
    row = row_;
  }
  shared_->catalog_writes.add();
  shared_->catalog_pool.post([self = self<ReplayRunner>(), row = std::move(row),
                              settled = settled_] {
    Shared& shared = *self->shared_;
    Result<void> result = catalog::end_replay(shared.replays, shared.dead_letters, row, settled);
    boost::asio::post(self->loop_, [self, result = std::move(result)] {
      for (auto& waiter : std::exchange(self->end_waiters_, {})) waiter(result);
      if (result) {
        self->forget({});
        return self->over_();
      }
      logging::warn("the end of a replay cannot be written to the catalog",
                    {{"replay", self->replay_.value()}, {"error", result.error().message}});
      self->end_timer_.expires_after(kTryAgainAfter);
      self->end_timer_.async_wait([self](const boost::system::error_code& error) {
        if (!error) self->write_end();
      });
    });
    shared.catalog_writes.done();
  });
}

void ReplayRunner::remove() {
  end_timer_.cancel();
  if (!removed_) halt();
  forget({});
}

ReplayProgress ReplayRunner::progress() const {
  const MutexLock lock(mutex_);
  return {replay_, waits_, row_.error, row_.total, row_.sent, row_.parked};
}

}  // namespace sluice::dispatch
