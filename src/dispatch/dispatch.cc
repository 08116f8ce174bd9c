#include "dispatch/dispatch.h"

#include <algorithm>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <unordered_map>
#include <utility>

#include "base/assert.h"
#include "base/logging.h"
#include "base/mutex.h"
#include "dispatch/dispatch_loop.h"
#include "dispatch/journal.h"

namespace sluice::dispatch {
namespace {

namespace asio = boost::asio;
using Runner = std::shared_ptr<StreamRunner>;
using Done = std::function<void(Result<void>)>;

// What is still open after the abandoned attempts ended: journal and catalog writes.
constexpr std::chrono::milliseconds kAfterAbandoning{2000};
constexpr std::chrono::milliseconds kCatalogWritesEnd{10'000};

Error unknown_stream() { return {ErrorCode::NotFound, "no such stream"}; }

// Resumes the caller with what `start(done)` reports, on the caller's executor. `start` must be a
// named variable: GCC 12 destroys twice what a temporary lambda within a co_await captures.
template <class Start>
Awaitable<Result<void>> await_done(Start start) {
  return asio::async_initiate<const asio::use_awaitable_t<>&, void(Result<void>)>(
      [](auto handler, Start begin) {
        const auto home = asio::get_associated_executor(handler);
        // std::function wants what can be copied.
        auto shared = std::make_shared<decltype(handler)>(std::move(handler));
        begin([shared, home](Result<void> result) {
          asio::post(home, [shared, result = std::move(result)]() mutable {
            (*shared)(std::move(result));
          });
        });
      },
      asio::use_awaitable, std::move(start));
}

class DispatchImpl final : public Dispatch, private recordlog::AppendObserver {
 public:
  DispatchImpl(const Settings& settings, const Dependencies& dependencies,
               std::unique_ptr<Journal> journal,
               const std::vector<catalog::DeadLetters::State>& parked_states)
      : shared_(std::make_shared<Shared>(settings, dependencies, std::move(journal))),
        log_(dependencies.log) {
    for (const catalog::DeadLetters::State& state : parked_states) {
      std::optional<ParkedState> parked = decode_parked_state(state.bytes);
      if (!parked) {
        logging::error(
            "the state beside a stream's dead letters is damaged; it goes on where the "
            "journal says, and may send some again",
            {{"stream", state.key.value()}});
        continue;
      }
      shared_->parked_states.emplace(state.key, *std::move(parked));
    }
    SLUICE_ASSERT(dependencies.connector_contexts.size() == dependencies.threads.size());
    for (std::size_t i = 0; i < dependencies.threads.size(); ++i) {
      loops_.push_back(std::make_shared<DispatchLoop>(dependencies.threads.loop(i),
                                                      dependencies.connector_contexts[i], shared_));
    }
    log_.set_observer(this);
  }
  ~DispatchImpl() override {
    stop(0);
    const MutexLock lock(mutex_);
    for (auto& [id, runner] : runners_) runner->close();
  }

  void add(const catalog::Stream& stream, const std::optional<catalog::Replay>& replay) override {
    const std::shared_ptr<DispatchLoop>& loop = loop_of(stream.id);
    auto runner = std::make_shared<StreamRunner>(stream, shared_, loop->loop(), *loop);
    {
      const MutexLock lock(mutex_);
      SLUICE_ASSERT(runners_.emplace(stream.id, runner).second);
      streams_per_loop_[stream.organisation].resize(loops_.size());
      ++streams_per_loop_[stream.organisation][index_of(stream.id)];
    }
    asio::post(loop->loop(), [=] {
      loop->begin(runner);
      if (replay) runner->go_on_with(stream, *replay, loop->context(), loop->evaluator());
    });
  }

  Awaitable<Result<StreamSnapshot>> command(StreamId stream, Command command) override {
    return order(stream, [=](StreamRunner& runner) { return runner.command(command); });
  }

  Awaitable<Result<StreamSnapshot>> skip(StreamId stream, Offset to, bool park) override {
    return order(stream, [=](StreamRunner& runner) { return runner.skip(to, park); });
  }

  Awaitable<Result<Standing>> begin_hand_over(StreamId stream) override {
    const Runner runner = find(stream);
    if (!runner) co_return unknown_stream();
    const std::shared_ptr<DispatchLoop> loop = loop_of(stream);
    auto start = [=](Done report) {
      asio::post(loop->loop(), [=] { runner->begin_hand_over(report); });
    };
    const Result<void> closed = co_await await_done(std::move(start));
    if (!closed) co_return closed.error();
    co_return runner->standing();
  }

  Awaitable<Result<void>> end_hand_over(StreamId stream,
                                        std::optional<StreamId> successor) override {
    const Runner runner = find(stream);
    if (!runner) co_return unknown_stream();
    const std::shared_ptr<DispatchLoop> loop = loop_of(stream);
    auto start = [=](Done report) {
      asio::post(loop->loop(), [=] {
        runner->end_hand_over(successor);
        report({});
      });
    };
    co_return co_await await_done(std::move(start));
  }

  Awaitable<Result<void>> replay(const catalog::Stream& stream,
                                 const catalog::Replay& replay) override {
    const Runner runner = find(stream.id);
    if (!runner) co_return unknown_stream();
    const std::shared_ptr<DispatchLoop> loop = loop_of(stream.id);
    auto start = [=](Done report) {
      asio::post(loop->loop(), [=] {
        report(runner->replay(stream, replay, loop->context(), loop->evaluator()));
      });
    };
    co_return co_await await_done(std::move(start));
  }

  Awaitable<Result<void>> cancel_replay(StreamId stream, ReplayId replay) override {
    const Runner runner = find(stream);
    if (!runner) co_return unknown_stream();
    const std::shared_ptr<DispatchLoop> loop = loop_of(stream);
    auto start = [=](Done report) {
      asio::post(loop->loop(), [=] { runner->cancel_replay(replay, report); });
    };
    co_return co_await await_done(std::move(start));
  }

  std::optional<ReplayProgress> replay_progress(StreamId stream) const override {
    const Runner runner = find(stream);
    if (!runner) return std::nullopt;
    return runner->replay_progress();
  }

  Awaitable<Result<StreamSnapshot>> change(const catalog::Stream& changed) override {
    const Runner runner = find(changed.id);
    if (!runner) co_return unknown_stream();
    const std::shared_ptr<DispatchLoop> loop = loop_of(changed.id);
    auto start = [=](Done report) {
      asio::post(loop->loop(), [=] {
        runner->change(changed, loop->context());
        report({});
      });
    };
    const Result<void> done = co_await await_done(std::move(start));
    if (!done) co_return done.error();
    co_return runner->snapshot();
  }

  Awaitable<Result<void>> remove(StreamId stream) override {
    const Runner runner = take(stream);
    if (!runner) co_return unknown_stream();
    const std::shared_ptr<DispatchLoop> loop = loop_of(stream);
    auto start = [=](Done report) {
      asio::post(loop->loop(), [=] {
        loop->forget(*runner);
        runner->remove(report);
      });
    };
    co_return co_await await_done(std::move(start));
  }

  std::optional<StreamSnapshot> snapshot(StreamId stream) const override {
    const Runner runner = find(stream);
    if (!runner) return std::nullopt;
    return runner->snapshot();
  }

  void stop(std::uint32_t grace_ms) override {
    if (std::exchange(stopped_, true)) return;
    for (const auto& loop : loops_) {
      asio::post(loop->loop(), [loop] { loop->stop(); });
    }
    const auto now = [] { return std::chrono::steady_clock::now(); };
    if (!shared_->streams.wait_until(now() + std::chrono::milliseconds(grace_ms))) {
      for (const auto& loop : loops_) {
        asio::post(loop->loop(), [loop] { loop->abandon(); });
      }
      shared_->streams.wait_until(now() + kAfterAbandoning);
    }
    log_.set_observer(nullptr);
    shared_->journal->stop();
    shared_->catalog_writes.wait_until(now() + kCatalogWritesEnd);
  }

 private:
  // What `order` changed is in the catalog when this returns.
  Awaitable<Result<StreamSnapshot>> order(StreamId stream,
                                          std::function<Result<void>(StreamRunner&)> order) {
    const Runner runner = find(stream);
    if (!runner) co_return unknown_stream();
    const std::shared_ptr<DispatchLoop> loop = loop_of(stream);
    auto start = [=](Done report) {
      asio::post(loop->loop(), [=] {
        const Result<void> taken = order(*runner);
        taken ? runner->await_catalog(report) : report(taken);
      });
    };
    const Result<void> done = co_await await_done(std::move(start));
    if (!done) co_return done.error();
    co_return runner->snapshot();
  }

  // On the log's thread: one message for each loop that has a stream of an organisation in it.
  void on_appended(std::span<const Appended> appended) override {
    std::vector<std::vector<Appended>> messages(loops_.size());
    {
      const MutexLock lock(mutex_);
      for (const Appended& each : appended) {
        const auto found = streams_per_loop_.find(each.organisation);
        if (found == streams_per_loop_.end()) continue;
        for (std::size_t i = 0; i < loops_.size(); ++i) {
          if (found->second[i] > 0) messages[i].push_back(each);
        }
      }
    }
    for (std::size_t i = 0; i < loops_.size(); ++i) {
      if (!messages[i].empty()) loops_[i]->post_appended(messages[i]);
    }
  }

  std::size_t index_of(StreamId stream) const { return stream.value() % loops_.size(); }
  const std::shared_ptr<DispatchLoop>& loop_of(StreamId stream) const {
    return loops_[index_of(stream)];
  }

  Runner find(StreamId stream) const {
    const MutexLock lock(mutex_);
    const auto found = runners_.find(stream);
    return found == runners_.end() ? nullptr : found->second;
  }

  Runner take(StreamId stream) {
    const MutexLock lock(mutex_);
    const auto found = runners_.find(stream);
    if (found == runners_.end()) return nullptr;
    Runner runner = std::move(found->second);
    runners_.erase(found);
    const auto counts = streams_per_loop_.find(runner->organisation());
    --counts->second[index_of(stream)];
    const bool none = std::all_of(counts->second.begin(), counts->second.end(),
                                  [](std::uint32_t count) { return count == 0; });
    if (none) streams_per_loop_.erase(counts);
    return runner;
  }

  const std::shared_ptr<Shared> shared_;
  recordlog::RecordLog& log_;
  std::vector<std::shared_ptr<DispatchLoop>> loops_;  // shared with what is posted to them
  bool stopped_ = false;

  mutable Mutex mutex_;
  std::unordered_map<StreamId, Runner> runners_ SLUICE_GUARDED_BY(mutex_);
  std::unordered_map<OrganisationId, std::vector<std::uint32_t>> streams_per_loop_
      SLUICE_GUARDED_BY(mutex_);
};

}  // namespace

Result<std::unique_ptr<Dispatch>> Dispatch::open(Settings settings, Dependencies dependencies) {
  auto journal = Journal::open(settings.journal_directory, dependencies.fs, dependencies.metrics);
  if (!journal) return journal.error();
  const auto states = dependencies.dead_letters.states();
  if (!states) return states.error();
  return std::unique_ptr<Dispatch>(
      std::make_unique<DispatchImpl>(settings, dependencies, std::move(*journal), *states));
}

}  // namespace sluice::dispatch
