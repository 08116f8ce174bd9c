#include "dispatch/start_pacer.h"

#include <gtest/gtest.h>

#include <vector>

#include "dispatch/stream_script.h"

namespace sluice::dispatch {
namespace {

using namespace std::chrono_literals;

TEST(StartPacer, FiftyOfAHostBeginInASecond) {
  StartPacer pacer;
  const SteadyTime now{1000s};
  std::vector<SteadyTime> begun;
  for (int i = 0; i < 120; ++i) begun.push_back(pacer.take("one.example", now));
  EXPECT_EQ(begun[0], now) << "the first does not wait";
  for (std::size_t i = 0; i + StartPacer::kPerSecond < begun.size(); ++i) {
    EXPECT_EQ(begun[i + StartPacer::kPerSecond], begun[i] + 1s);
  }
  EXPECT_EQ(pacer.take("other.example", now), now) << "other hosts are not concerned";
  EXPECT_EQ(pacer.take("", now), now);
  EXPECT_EQ(pacer.take("one.example", now + 1h), now + 1h) << "what was not used is not saved up";
  EXPECT_EQ(pacer.hosts(), 1u) << "nothing is kept of a host whose times have passed";
}

struct Paced : Script {
  explicit Paced(DeliverySettings delivery = {}) : Script(delivery, {1, 1 << 20}) {
    options.pace = [this](SteadyTime at) {
      ++asked;
      return at + wait;
    };
  }
  int asked = 0;
  Milliseconds wait{0};
};

TEST(StartPacer, AStreamInFullFlowDoesNotAsk) {
  Paced s;
  s.begin();
  EXPECT_EQ(s.store(1), "send 5-1-0-0 #1");
  EXPECT_EQ(s.delivered(), "");
  EXPECT_EQ(s.asked, 0) << "nothing waited when it began";
}

TEST(StartPacer, AStreamWithABacklogAsksOnce) {
  Paced s;
  s.lay(3);
  EXPECT_EQ(s.begin(), "send 5-1-0-0 #1");
  EXPECT_EQ(s.asked, 1) << "the first of a process";
  EXPECT_EQ(s.delivered(), "send 5-1-1-1 #1");
  EXPECT_EQ(s.delivered(), "send 5-1-2-2 #1");
  EXPECT_EQ(s.asked, 1);
}

TEST(StartPacer, AStreamBeginsWhenItMay) {
  Paced s;
  s.wait = 3s;
  s.lay(1);
  EXPECT_EQ(s.begin(), "");
  EXPECT_EQ(s.machine->memory_bytes(), 0u);
  EXPECT_EQ(s.after(2999ms), "");
  EXPECT_EQ(s.after(1ms), "send 5-1-0-0 #1") << "without asking again";
  EXPECT_EQ(s.asked, 1);
}

TEST(StartPacer, ARetryAsksOnceAndSoDoesARestart) {
  Paced s;
  s.lay(2);
  s.begin();
  s.failed();
  EXPECT_EQ(s.asked, 1);
  s.wait = 500ms;
  EXPECT_EQ(s.after(8s), "") << "the back-off first";
  EXPECT_EQ(s.after(500ms), "send 5-1-0-0 #2");
  s.failed();
  EXPECT_EQ(s.command(Command::Restart), "");
  EXPECT_EQ(s.after(500ms), "send 5-1-0-0 #3");
  EXPECT_EQ(s.asked, 3);
  EXPECT_EQ(s.delivered(), "send 5-1-1-1 #1") << "it runs again";
  EXPECT_EQ(s.asked, 3);
}

TEST(StartPacer, ARunsLanesBeginTogether) {
  DeliverySettings settings;
  settings.parallel = 2;
  Paced s(settings);
  s.wait = 500ms;
  s.store_devices("ab");
  s.begin();
  s.frozen();
  EXPECT_EQ(s.after(500ms), "send 5-1-0-0 #1, send 5-1-1-1 #1");
  EXPECT_EQ(s.asked, 1);
}

}  // namespace
}  // namespace sluice::dispatch
