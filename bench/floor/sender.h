#pragma once
// The floor's way out: one thread, one keep-alive connection and one request at a time for each
// stream; every stream gets every record, as JSON arrays.

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "floor/log.h"
#include "wire.h"

namespace sluice::bench {

class Sender {
 public:
  Sender(const std::vector<std::string>& sinks, std::size_t streams_per_sink);
  void start(FloorLog& log);  // `log` outlives the process's threads
  void wake();                // there is more on disk; any thread

 private:
  struct Stream {
    Url url;
    int fd = -1;
    std::uint64_t cursor = 0;
    std::vector<Block> batch;  // empty: idle
    std::string head;
    std::unique_ptr<char[]> read_back;  // for what is no longer in memory
    std::vector<iovec> unsent;
    std::size_t unsent_at = 0;
    std::string answer;
    double retry_at_s = 0;  // > 0: broken, to be tried again then
  };

  void run();
  void begin(Stream& stream);
  void compose(Stream& stream);
  void send_on(Stream& stream);
  void read_answer(Stream& stream);
  void fail(Stream& stream);
  void forget_delivered();
  double wait_s() const;

  std::vector<std::unique_ptr<Stream>> streams_;
  FloorLog* log_ = nullptr;
  Poller poller_;
  int wake_;
};

}  // namespace sluice::bench
