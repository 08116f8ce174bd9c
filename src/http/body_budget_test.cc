#include "http/body_budget.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::http {
namespace {

struct FakeWaiter : BudgetWaiter {
  void on_lease(BodyLease lease) override { leases.push_back(std::move(lease)); }
  std::vector<BodyLease> leases;
};

class BodyBudgetTest : public ::testing::Test {
 protected:
  std::shared_ptr<FakeWaiter> wait(std::uint64_t bytes, std::uint64_t held = 0,
                                   BodyShare share = kEveryones) {
    auto waiter = std::make_shared<FakeWaiter>();
    budget_->wait({bytes, held, share, loop_.get_executor(), waiter});
    return waiter;
  }
  void run() {
    loop_.restart();
    loop_.poll();
  }

  boost::asio::io_context loop_;
  std::shared_ptr<BodyBudget> budget_ = std::make_shared<BodyBudget>(100);
};

TEST_F(BodyBudgetTest, GivesWhatThereIsAndTakesItBack) {
  auto most = budget_->try_take(99);
  ASSERT_TRUE(most);
  EXPECT_FALSE(budget_->try_take(2));
  auto rest = budget_->try_take(1);
  ASSERT_TRUE(rest);
  EXPECT_EQ(budget_->used(), 100u);
  most.reset();
  EXPECT_EQ(budget_->used(), 1u);
  *rest = BodyLease();
  EXPECT_EQ(budget_->used(), 0u);
}

TEST_F(BodyBudgetTest, MovedAndAddedLeasesCountOnce) {
  BodyLease all;
  all.add(std::move(*budget_->try_take(10)));
  all.add(std::move(*budget_->try_take(20)));
  BodyLease moved = std::move(all);
  EXPECT_EQ(budget_->used(), 30u);
  moved = std::move(*budget_->try_take(5));
  EXPECT_EQ(budget_->used(), 5u);
}

TEST_F(BodyBudgetTest, ALeaseGrowsAndShrinks) {
  auto lease = budget_->try_take(60);
  EXPECT_FALSE(budget_->try_take(10)->try_grow(40));
  EXPECT_TRUE(lease->try_grow(40));
  EXPECT_EQ(lease->bytes(), 100u);
  lease->shrink_to(30);
  EXPECT_EQ(lease->bytes(), 30u);
  EXPECT_EQ(budget_->used(), 30u);
  lease.reset();
  EXPECT_EQ(budget_->used(), 0u);
  EXPECT_TRUE(BodyLease().try_grow(1000)) << "of no budget";
}

TEST_F(BodyBudgetTest, OneLargerThanAllIsAdmittedAlone) {
  auto small = budget_->try_take(1);
  EXPECT_FALSE(budget_->try_take(1000));
  small.reset();
  auto large = budget_->try_take(1000);
  ASSERT_TRUE(large);
  EXPECT_FALSE(budget_->try_take(1));
  EXPECT_TRUE(budget_->try_grow(*large, 1000, BodyBudget::Within::Share));
  EXPECT_EQ(budget_->used(), 2000u);
}

TEST_F(BodyBudgetTest, WaitersAreServedInOrderAndBeforeNewcomers) {
  auto held = budget_->try_take(60);
  const auto large = wait(80);
  const auto small = wait(10);
  EXPECT_FALSE(budget_->try_take(1)) << "overtook those that wait";
  run();
  EXPECT_TRUE(large->leases.empty() && small->leases.empty());
  held.reset();
  run();
  EXPECT_EQ(large->leases.size(), 1u);
  EXPECT_EQ(small->leases.size(), 1u);
  EXPECT_EQ(budget_->used(), 90u);
}

TEST_F(BodyBudgetTest, WhatHoldsMemoryGrowsFirst) {
  auto growing = budget_->try_take(50);
  auto other = budget_->try_take(50);
  const auto newcomer = wait(30);
  EXPECT_FALSE(budget_->try_grow(*growing, 50, BodyBudget::Within::Share));
  const auto more = wait(50, 50);
  other.reset();
  run();
  EXPECT_EQ(more->leases.size(), 1u);
  EXPECT_TRUE(newcomer->leases.empty());
}

TEST_F(BodyBudgetTest, RoomThatCameBeforeTheWaitIsSeen) {
  const auto waiter = wait(50);
  run();
  EXPECT_EQ(waiter->leases.size(), 1u);
}

TEST_F(BodyBudgetTest, WhoIsGoneBlocksNobodyAndKeepsNothing) {
  auto held = budget_->try_take(100);
  auto gone = wait(100);
  auto late = wait(90);
  const auto last = wait(100);
  gone.reset();
  held.reset();
  late.reset();  // its lease is under way: dropped by the loop
  run();
  EXPECT_EQ(last->leases.size(), 1u);
  EXPECT_EQ(budget_->used(), 100u);
}

// A few slow bodies of one organisation once held up all the others'.
TEST_F(BodyBudgetTest, AShareThatHasItsQuarterHoldsUpItselfAlone) {
  auto slow = budget_->try_take(20, 1);
  ASSERT_TRUE(slow);
  EXPECT_FALSE(budget_->try_take(10, 1));
  const auto own = wait(10, 0, 1);
  const auto other = wait(10, 0, 2);
  const auto everyones = wait(50);
  run();
  EXPECT_TRUE(own->leases.empty());
  EXPECT_EQ(other->leases.size(), 1u);
  EXPECT_EQ(everyones->leases.size(), 1u);
  slow.reset();
  run();
  EXPECT_EQ(own->leases.size(), 1u);
}

TEST_F(BodyBudgetTest, IsShortForThoseWhoseMemoryIsWaitedFor) {
  auto slow = budget_->try_take(20, 1);
  auto other = budget_->try_take(20, 2);
  EXPECT_FALSE(budget_->is_short(1));
  auto own = wait(10, 0, 1);
  EXPECT_TRUE(budget_->is_short(1));
  EXPECT_FALSE(budget_->is_short(2)) << "what they hold would be of no use";
  own.reset();
  EXPECT_FALSE(budget_->is_short(1)) << "who waited is gone";
  const auto everyones = wait(70);
  EXPECT_TRUE(budget_->is_short(1));
  EXPECT_TRUE(budget_->is_short(2));
}

TEST_F(BodyBudgetTest, WithinItsShareABodyGrowsAndBeyondOnlyWhatItBecomes) {
  auto body = budget_->try_take(20, 1);
  auto other = budget_->try_take(5, 1);
  EXPECT_FALSE(budget_->try_grow(*body, 10, BodyBudget::Within::Share));
  EXPECT_TRUE(body->try_grow(10));
  other.reset();
  EXPECT_TRUE(budget_->try_grow(*body, 60, BodyBudget::Within::Share)) << "alone in its share";
  body.reset();
  EXPECT_EQ(budget_->used(), 0u);
  EXPECT_TRUE(budget_->try_take(60, 1)) << "one larger than the share, alone in it";
}

TEST_F(BodyBudgetTest, NothingIsPostedOnceClosed) {
  auto held = budget_->try_take(100);
  const auto waiter = wait(10);
  budget_->close();
  held.reset();
  EXPECT_EQ(loop_.poll(), 0u);
  EXPECT_EQ(wait(10)->leases.size(), 0u);
  EXPECT_EQ(loop_.poll(), 0u);
}

}  // namespace
}  // namespace sluice::http
