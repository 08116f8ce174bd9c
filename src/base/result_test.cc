#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace sluice {
namespace {

TEST(Result, HoldsAValueOrAnError) {
  Result<std::unique_ptr<int>> good = std::make_unique<int>(7);
  ASSERT_TRUE(good.has_value());
  std::unique_ptr<int> taken = *std::move(good);
  EXPECT_EQ(*taken, 7);

  const Result<int> bad = Error{ErrorCode::NotFound, "no such stream"};
  ASSERT_FALSE(bad.has_value());
  EXPECT_EQ(bad.error().code, ErrorCode::NotFound);
}

TEST(Result, VoidIsGoodUntilItHoldsAnError) {
  EXPECT_TRUE(Result<void>{}.has_value());
  const Result<void> bad = Error{ErrorCode::Io, "disk"};
  EXPECT_FALSE(bad);
}

TEST(ResultDeathTest, AValueThatIsNotThereIsABrokenPromise) {
  const Result<int> bad = Error{ErrorCode::Io, "disk"};
  EXPECT_DEATH((void)bad.value(), "broken promise");
}

}  // namespace
}  // namespace sluice
