#include "base/io_threads.h"

#include <string>

#include "base/threads.h"

namespace sluice {

IoThreads::IoThreads(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    loops_.push_back(std::make_unique<boost::asio::io_context>(1));
    guards_.push_back(boost::asio::make_work_guard(*loops_.back()));
  }
}

IoThreads::~IoThreads() { stop_and_join(); }

void IoThreads::start() {
  for (std::size_t i = 0; i < loops_.size(); ++i) {
    threads_.emplace_back([this, i] {
      name_this_thread("io-" + std::to_string(i));
      loops_[i]->run();
    });
  }
}

void IoThreads::stop_and_join() {
  for (auto& loop : loops_) loop->stop();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace sluice
