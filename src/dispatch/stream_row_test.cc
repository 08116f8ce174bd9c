#include "dispatch/stream_row.h"

#include <gtest/gtest.h>

namespace sluice::dispatch {
namespace {

using catalog::StreamStatus;

catalog::Stream row_amid_a_skip() {
  catalog::Stream row;
  row.status = StreamStatus::Error;
  row.start = Offset{7};
  row.park_to = Offset{40};
  return row;
}

TEST(StreamRow, GoesOnWhereItStood) {
  const StreamMachine::Start start = start_of(row_amid_a_skip(), Offset{90});
  EXPECT_EQ(start.status, StreamStatus::Error);
  EXPECT_EQ(start.cursor, Offset{7});
  EXPECT_EQ(start.end, Offset{90});
  EXPECT_EQ(start.park_to, Offset{40});
}

// What it was doing is its successor's: from a cursor that the journal may have missed it would
// make dead letters of what was delivered or sent again since.
TEST(StreamRow, OneThatWasReplacedStandsStillAlsoAmidASkip) {
  catalog::Stream row = row_amid_a_skip();
  row.replaced_by = StreamId{2};
  const StreamMachine::Start start = start_of(row, Offset{90});
  EXPECT_EQ(start.status, StreamStatus::Paused);
  EXPECT_EQ(start.park_to, std::nullopt);
}

}  // namespace
}  // namespace sluice::dispatch
