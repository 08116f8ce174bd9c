#include "catalog/replays.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "catalog/catalog.h"

namespace sluice::catalog {
namespace {

class ReplaysTest : public ::testing::Test {
 protected:
  ReplaysTest() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "sluice-replays-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    open();
    const std::vector<Organisation> organisations = {{OrganisationId{1}, "One"}};
    EXPECT_TRUE(catalog_->register_organisations(organisations));
    Stream stream;
    stream.organisation = OrganisationId{1};
    stream.destination = "{}";
    stream_ = catalog_->create_stream(stream, WallTime{1})->id;
  }
  ~ReplaysTest() override { std::filesystem::remove_all(directory_); }

  void open() {
    replays_.reset();
    catalog_.reset();
    catalog_ = *open_sqlite(directory_ + "/catalog.db", secrets_);
    replays_ = *open_sqlite_replays(directory_ + "/catalog.db");
  }
  Result<Replay> create(std::optional<std::uint64_t> total = std::nullopt) {
    return replays_->create({.stream = stream_,
                             .of_dead_letters = true,
                             .from = Offset{3},
                             .to = Offset{9},
                             .filters = "[]",
                             .total = total},
                            WallTime{7});
  }

  const SecretBox secrets_{{}};
  std::string directory_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Replays> replays_;
  StreamId stream_;
};

TEST_F(ReplaysTest, AreThereAgainWithAllThatIsKnownOfThem) {
  Replay replay = *create();
  EXPECT_EQ(replay.created, WallTime{7});
  open();
  const auto running = replays_->running();
  ASSERT_EQ(running->size(), 1u);
  EXPECT_EQ(running->front().id, replay.id);
  EXPECT_EQ(running->front().stream, stream_);
  EXPECT_TRUE(running->front().of_dead_letters);
  EXPECT_EQ(running->front().from, Offset{3});
  EXPECT_EQ(running->front().to, Offset{9});
  EXPECT_EQ(running->front().filters, "[]");
  EXPECT_FALSE(running->front().total);
  replay.state = ReplayState::Failed;
  replay.error = "gone";
  replay.to = Offset{8};
  replay.total = 5;
  replay.sent = 3;
  replay.parked = 2;
  ASSERT_TRUE(replays_->update(replay));
  EXPECT_TRUE(replays_->running()->empty());
  const auto found = replays_->find(stream_, replay.id);
  ASSERT_TRUE(*found);
  EXPECT_EQ((*found)->state, ReplayState::Failed);
  EXPECT_EQ((*found)->error, "gone");
  EXPECT_EQ((*found)->to, Offset{8});
  EXPECT_EQ((*found)->total, 5u);
  EXPECT_EQ((*found)->sent, 3u);
  EXPECT_EQ((*found)->parked, 2u);
  EXPECT_FALSE(*replays_->find(StreamId{99}, replay.id));
}

TEST_F(ReplaysTest, OneIsUnderWayAtATime) {
  Replay replay = *create();
  const auto second = create();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::Conflict);
  replay.state = ReplayState::Done;
  ASSERT_TRUE(replays_->update(replay));
  EXPECT_TRUE(create());
  EXPECT_EQ(replays_->create({.stream = StreamId{77}}, {}).error().code, ErrorCode::NotFound);
}

TEST_F(ReplaysTest, GoWithTheirStreamAndTheNewestAreKept) {
  ReplayId first;
  for (std::uint32_t i = 0; i <= Replays::kKeptMax; ++i) {
    Replay replay = *create();
    if (i == 0) first = replay.id;
    replay.state = ReplayState::Done;
    ASSERT_TRUE(replays_->update(replay));
  }
  EXPECT_FALSE(*replays_->find(stream_, first));
  EXPECT_TRUE(*replays_->find(stream_, ReplayId{first.value() + 1}));
  ASSERT_TRUE(catalog_->delete_stream(OrganisationId{1}, stream_));
  EXPECT_FALSE(*replays_->find(stream_, ReplayId{first.value() + 1}));
}

}  // namespace
}  // namespace sluice::catalog
