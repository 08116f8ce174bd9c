#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <thread>

#include "base/io_threads.h"
#include "base/metrics.h"
#include "base/worker_pool.h"
#include "model/kind.h"

namespace sluice {
namespace {

Awaitable<bool> hop(WorkerPool& pool, std::thread::id* worker) {
  const auto home = std::this_thread::get_id();
  *worker = co_await pool.run([] { return std::this_thread::get_id(); });
  co_return std::this_thread::get_id() == home;
}

TEST(WorkerPool, RunsElsewhereAndComesBackHome) {
  WorkerPool pool("test", 2);
  IoThreads threads(2);
  threads.start();
  std::thread::id worker;
  auto future = boost::asio::co_spawn(threads.loop(1), hop(pool, &worker), boost::asio::use_future);
  EXPECT_TRUE(future.get());
  EXPECT_NE(worker, std::this_thread::get_id());
  EXPECT_NE(worker, std::thread::id{});
}

TEST(Metrics, TheSameNameAndLabelsAreTheSameMetric) {
  Metrics metrics;
  metrics.counter("sluice_test_records_total", "Records.", {{"kind", "event"}}).add(2);
  metrics.counter("sluice_test_records_total", "Records.", {{"kind", "event"}}).add(3);
  metrics.gauge("sluice_test_bytes", "Bytes.").set(7);
  const std::string text = metrics.prometheus_text();
  EXPECT_NE(text.find("sluice_test_records_total{kind=\"event\"} 5"), std::string::npos) << text;
  EXPECT_NE(text.find("sluice_test_bytes 7"), std::string::npos) << text;
}

TEST(Kind, PathNamesGoBothWays) {
  for (const Kind kind : {Kind::Usage, Kind::Event, Kind::SensorEvent, Kind::Message}) {
    EXPECT_EQ(kind_from_path_name(path_name(kind)), kind);
  }
  EXPECT_EQ(kind_from_path_name("pigeons"), std::nullopt);
  constexpr KindSet both{Kind::Usage, Kind::Event};
  EXPECT_TRUE(both.contains(Kind::Event));
  EXPECT_FALSE(both.contains(Kind::SensorEvent));
}

}  // namespace
}  // namespace sluice
