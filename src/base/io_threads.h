#pragma once
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <thread>
#include <vector>

namespace sluice {

// One event loop per thread. What belongs to a loop is touched on its thread alone; others post.
class IoThreads {
 public:
  explicit IoThreads(std::size_t count);
  ~IoThreads();  // stop() and join()

  void start();
  // Stops the loops; handlers that have not run are destroyed unrun with the IoThreads.
  void stop_and_join();

  std::size_t size() const { return loops_.size(); }
  boost::asio::io_context& loop(std::size_t index) { return *loops_[index]; }

 private:
  using WorkGuard = boost::asio::executor_work_guard<boost::asio::io_context::executor_type>;
  std::vector<std::unique_ptr<boost::asio::io_context>> loops_;
  std::vector<WorkGuard> guards_;
  std::vector<std::thread> threads_;
};

}  // namespace sluice
