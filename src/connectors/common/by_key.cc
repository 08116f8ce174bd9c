#include "connectors/common/by_key.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <unordered_map>

#include "base/assert.h"
#include "connectors/common/message_key.h"

namespace sluice::connectors {
namespace {

struct Work {
  std::vector<KeyGroup>& groups;
  const SendGroup& send;
  std::size_t next = 0;
  // Of the groups that failed the first, and what became of it.
  std::size_t failed;
  SendOutcome outcome;
};

Awaitable<void> run(Work& work) {
  while (work.failed == work.groups.size()) {
    while (work.next < work.groups.size() && work.groups[work.next].delivered) ++work.next;
    if (work.next == work.groups.size()) co_return;
    const std::size_t mine = work.next++;
    SendOutcome outcome = co_await work.send(work.groups[mine]);
    work.groups[mine].delivered = std::holds_alternative<Delivered>(outcome.decision);
    const bool decides =
        work.groups[mine].delivered ? work.failed == work.groups.size() : mine < work.failed;
    if (decides) work.outcome = std::move(outcome);
    if (!work.groups[mine].delivered) work.failed = std::min(work.failed, mine);
  }
}

}  // namespace

std::vector<KeyGroup> group_by_key(const RecordBatch& batch) {
  std::vector<KeyGroup> groups;
  std::unordered_map<std::string, std::size_t> places;
  std::uint32_t index = 0;
  for (const RecordRun& run : batch.runs) {
    for (std::uint32_t i = run.begin; i < run.end; ++i, ++index) {
      std::string key = message_key(*run.chunk, i);
      const auto [place, fresh] = places.try_emplace(key, groups.size());
      if (fresh) groups.push_back({std::move(key), {}, index});
      groups[place->second].records.push_back(run.chunk->record(i));
    }
  }
  return groups;
}

Awaitable<SendOutcome> send_by_key(std::vector<KeyGroup>& groups, std::size_t at_once,
                                   const SendGroup& send) {
  SLUICE_ASSERT(!groups.empty());
  namespace asio = boost::asio;
  const auto executor = co_await asio::this_coro::executor;
  Work work{groups, send, 0, groups.size(), {}};
  using Operation = decltype(asio::co_spawn(executor, run(work), asio::deferred));
  std::vector<Operation> workers;
  for (std::size_t i = 0; i < std::min(at_once, groups.size()); ++i) {
    workers.push_back(asio::co_spawn(executor, run(work), asio::deferred));
  }
  auto all = asio::experimental::make_parallel_group(std::move(workers));
  const auto [order, thrown] =
      co_await all.async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
  for (const std::exception_ptr& one : thrown) {
    if (one) std::rethrow_exception(one);
  }
  if (work.failed == groups.size()) co_return std::move(work.outcome);
  const KeyGroup& failed = groups[work.failed];
  if (auto* later = std::get_if<RetryLater>(&work.outcome.decision)) {
    later->first_failed = failed.first;
  }
  // Of a group of several it is not known which one.
  if (auto* refused = std::get_if<Rejected>(&work.outcome.decision)) {
    if (failed.records.size() == 1) refused->record = failed.first;
  }
  co_return std::move(work.outcome);
}

}  // namespace sluice::connectors
