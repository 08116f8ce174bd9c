#include "connectors/common/by_key.h"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "connectors/common/test_records.h"
#include "egress/testing/run.h"

namespace sluice::connectors {
namespace {

namespace asio = boost::asio;

// Six records of the endpoints 1 2 1 3 2 4.
class ByKey : public ::testing::Test {
 protected:
  ByKey() {
    const std::int64_t endpoints[] = {1, 2, 1, 3, 2, 4};
    for (std::uint32_t i = 0; i < 6; ++i) chunk_.columns(i).endpoint_id = endpoints[i];
    batch_ = testing::batch_of({chunk_.run(0, 3), chunk_.run(3, 6)});
    groups_ = group_by_key(batch_);
    send_ = [this](const KeyGroup& group) { return answer(group); };
  }

  Awaitable<SendOutcome> answer(const KeyGroup& group) {
    ++under_way_;
    most_ = std::max(most_, under_way_);
    sent_.push_back(group.key);
    const auto executor = co_await asio::this_coro::executor;
    co_await asio::post(executor, asio::use_awaitable);
    --under_way_;
    if (group.key == failing_) co_return failure_;
    co_return SendOutcome{Delivered{}, 200, true};
  }
  SendOutcome run(std::size_t at_once) {
    return egress::testing::run(loop_, send_by_key(groups_, at_once, send_));
  }

  asio::io_context loop_{1};
  testing::TestChunk chunk_{Offset{0}, {"{}", "{ }", "[]", "{}", "{}", "{}"}};
  RecordBatch batch_;
  std::vector<KeyGroup> groups_;
  SendGroup send_;
  std::vector<std::string> sent_;
  int under_way_ = 0;
  int most_ = 0;
  std::string failing_;
  SendOutcome failure_;
};

TEST_F(ByKey, GroupsKeepTheOrderOfTheirFirstRecords) {
  ASSERT_EQ(groups_.size(), 4u);
  EXPECT_EQ(groups_[0].key, "1");
  EXPECT_EQ(groups_[0].records, (std::vector<std::string_view>{"{}", "[]"}));
  EXPECT_EQ(groups_[1].key, "2");
  EXPECT_EQ(groups_[1].first, 1u);
  EXPECT_EQ(groups_[3].key, "4");
  EXPECT_EQ(groups_[3].first, 5u);
}

TEST_F(ByKey, AllAreSentAndNoMoreThanAllowedAtATime) {
  const SendOutcome outcome = run(2);
  EXPECT_TRUE(std::holds_alternative<Delivered>(outcome.decision));
  EXPECT_EQ(outcome.remote_status, 200);
  EXPECT_EQ(sent_, (std::vector<std::string>{"1", "2", "3", "4"}));
  EXPECT_EQ(most_, 2);
}

TEST_F(ByKey, AfterAFailureNoneIsBegunAndTheRestCanBeSentLater) {
  failing_ = "2";
  failure_ = {RetryLater{"busy", {}, 0}, 503, true};
  const SendOutcome outcome = run(2);
  const auto* later = std::get_if<RetryLater>(&outcome.decision);
  ASSERT_NE(later, nullptr);
  EXPECT_EQ(later->first_failed, 1u) << "the record before it arrived";
  EXPECT_EQ(outcome.remote_status, 503);
  EXPECT_LT(sent_.size(), 4u);
  failing_ = "";
  sent_.clear();
  EXPECT_TRUE(std::holds_alternative<Delivered>(run(4).decision));
  EXPECT_EQ(sent_.front(), "2");
  EXPECT_EQ(std::ranges::count(sent_, "1"), 0);
}

TEST_F(ByKey, ARefusalNamesTheRecordWhereItCan) {
  failure_ = {Rejected{"too large"}, 413, true};
  failing_ = "3";
  EXPECT_EQ(std::get<Rejected>(run(1).decision).record, 3u);
  groups_ = group_by_key(batch_);
  failing_ = "2";
  EXPECT_EQ(std::get<Rejected>(run(1).decision).record, std::nullopt) << "one of two";
}

TEST_F(ByKey, CancellationEndsAllOfThem) {
  send_ = [](const KeyGroup&) -> Awaitable<SendOutcome> {
    asio::steady_timer never(co_await asio::this_coro::executor, std::chrono::hours(1));
    co_await never.async_wait(asio::use_awaitable);
    co_return SendOutcome{Delivered{}, 200, true};
  };
  asio::cancellation_signal cancel;
  bool ended = false;
  asio::co_spawn(loop_, send_by_key(groups_, 3, send_),
                 asio::bind_cancellation_slot(
                     cancel.slot(), [&](const std::exception_ptr& thrown, const SendOutcome&) {
                       EXPECT_NE(thrown, nullptr);
                       ended = true;
                     }));
  asio::post(loop_, [&] { cancel.emit(asio::cancellation_type::terminal); });
  loop_.run();
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace sluice::connectors
