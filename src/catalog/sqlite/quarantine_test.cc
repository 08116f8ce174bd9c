#include "catalog/quarantine.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace sluice::catalog {
namespace {

class QuarantineTest : public testing::Test {
 protected:
  QuarantineTest() {
    std::string name = testing::TempDir() + "sluice-quarantine-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    path_ = directory_ + "/quarantine.db";
    open();
  }
  ~QuarantineTest() override {
    quarantine_.reset();
    std::filesystem::remove_all(directory_);
  }
  void open(std::uint64_t bytes_max = 1 << 20) {
    quarantine_.reset();
    auto opened = open_quarantine(path_, bytes_max, metrics_);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    quarantine_ = std::move(*opened);
  }
  Result<void> add(std::vector<RejectedRecords::Record> records,
                   std::optional<std::array<std::uint8_t, 32>> request = {}) {
    return quarantine_->add({.time = WallTime{1000},
                             .kind = Kind::Usage,
                             .subject = "who",
                             .request = request,
                             .records = records});
  }
  std::vector<std::string> bytes() {
    const auto page = quarantine_->list(std::nullopt, 1000);
    std::vector<std::string> found;
    if (!page) {
      ADD_FAILURE() << page.error().message;
      return found;
    }
    for (const QuarantinedRecord& record : page->records) found.push_back(record.bytes);
    return found;
  }

  Metrics metrics_;
  std::string directory_;
  std::string path_;
  std::unique_ptr<Quarantine> quarantine_;
};

TEST_F(QuarantineTest, KeepsAllThatIsKnownAcrossARestart) {
  const std::string odd("\0\xff{\"", 4);
  ASSERT_TRUE(add({{0, OrganisationId{7}, "no id", odd}, {3, std::nullopt, "no time", "{}"}}));
  open();
  const auto page = quarantine_->list(std::nullopt, 10);
  ASSERT_TRUE(page.has_value());
  EXPECT_FALSE(page->more);
  ASSERT_EQ(page->records.size(), 2u);
  EXPECT_EQ(page->records[0].bytes, "{}");
  EXPECT_EQ(page->records[0].organisation, std::nullopt);
  const QuarantinedRecord& first = page->records[1];
  EXPECT_EQ(first.bytes, odd);
  EXPECT_EQ(first.organisation, OrganisationId{7});
  EXPECT_EQ(first.reason, "no id");
  EXPECT_EQ(first.subject, "who");
  EXPECT_EQ(first.kind, Kind::Usage);
  EXPECT_EQ(first.time, WallTime{1000});
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(QuarantineTest, PagesEndAtTheirLimitAndAtTheirBytes) {
  for (const char* const text : {"1", "2", "3"}) ASSERT_TRUE(add({{0, {}, "", text}}));
  auto page = *quarantine_->list(std::nullopt, 2);
  ASSERT_EQ(page.records.size(), 2u);
  EXPECT_TRUE(page.more);
  page = *quarantine_->list(page.records.back().id, 2);
  ASSERT_EQ(page.records.size(), 1u);
  EXPECT_EQ(page.records[0].bytes, "1");
  EXPECT_FALSE(page.more);

  open(64 << 20);
  const std::string large(Quarantine::kPageBytesMax, 'x');
  ASSERT_TRUE(add({{0, {}, "", large}, {1, {}, "", large}}));
  page = *quarantine_->list(std::nullopt, 1000);
  EXPECT_EQ(page.records.size(), 1u);
  EXPECT_TRUE(page.more);
}

TEST_F(QuarantineTest, KeepsARecordOfARequestSentAgainOnce) {
  const std::array<std::uint8_t, 32> one = {1};
  const std::array<std::uint8_t, 32> other = {2};
  ASSERT_TRUE(add({{0, {}, "", "a"}, {1, {}, "", "b"}}, one));
  ASSERT_TRUE(add({{0, {}, "", "a"}, {1, {}, "", "b"}, {2, {}, "", "c"}}, one));
  ASSERT_TRUE(add({{0, {}, "", "d"}}, other));
  ASSERT_TRUE(add({{0, {}, "", "e"}}));
  ASSERT_TRUE(add({{0, {}, "", "e"}}));
  EXPECT_EQ(bytes(), (std::vector<std::string>{"e", "e", "d", "c", "b", "a"}));
}

TEST_F(QuarantineTest, IsFullAtItsBoundAndTakesAllOrNothing) {
  const std::string large(300'000, 'x');
  ASSERT_TRUE(add({{0, {}, "", large}, {1, {}, "", large}, {2, {}, "", large}}));
  const Result<void> full = add({{0, {}, "", "small"}, {1, {}, "", large}});
  ASSERT_FALSE(full.has_value());
  EXPECT_EQ(full.error().code, ErrorCode::ResourceExhausted);
  EXPECT_EQ(bytes().size(), 3u);
  EXPECT_TRUE(add({{0, {}, "", "small"}}));
  EXPECT_LE(std::filesystem::file_size(path_), 1u << 20);
}

TEST_F(QuarantineTest, ClearingMakesRoomOnTheDiskAndReusesNoId) {
  const std::string large(300'000, 'x');
  ASSERT_TRUE(add({{0, {}, "", large}, {1, {}, "", large}, {2, {}, "", "last"}}));
  const auto before = std::filesystem::file_size(path_);
  const std::uint64_t newest = quarantine_->list(std::nullopt, 1)->records.at(0).id;
  EXPECT_EQ(*quarantine_->clear(newest - 1), 2u);
  EXPECT_EQ(bytes(), std::vector<std::string>{"last"});
  EXPECT_LT(std::filesystem::file_size(path_), before - 500'000);
  EXPECT_EQ(*quarantine_->clear(std::nullopt), 1u);
  EXPECT_EQ(*quarantine_->clear(std::nullopt), 0u);
  ASSERT_TRUE(add({{0, {}, "", "new"}}));
  EXPECT_GT(quarantine_->list(std::nullopt, 1)->records.at(0).id, newest);
}

TEST_F(QuarantineTest, RefusesAFileThatIsNone) {
  quarantine_.reset();
  std::ofstream(path_, std::ios::trunc) << std::string(5000, 'x');
  const auto opened = open_quarantine(path_, 1 << 20, metrics_);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::Corruption);
  EXPECT_NE(opened.error().message.find("quarantine"), std::string::npos);
  EXPECT_EQ(opened.error().message.find("catalog"), std::string::npos);
}

}  // namespace
}  // namespace sluice::catalog
