#pragma once
// A member of a consumer group that reads some topics from places it is told.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "egress/http_client.h"
#include "kafka/configuration.h"

namespace sluice::kafka {

struct Consumed {
  std::string_view topic;
  std::int32_t partition = 0;
  std::uint64_t offset = 0;
  std::string_view value;  // "" where there is none
};

// Threads: one, not the loop's, which must run as long as this lives. Nothing of it is acknowledged
// but by commit().
class Consumer {
 public:
  struct Options {
    Cluster cluster;
    std::string group;
    std::string member;  // the same after a restart: it gets its partitions back at once
    std::vector<std::string> topics;
    bool from_newest = false;  // in a partition of which the group knows nothing
    // Where to read on at least, as far as it is known beside what the group has committed.
    std::function<std::optional<std::uint64_t>(std::string_view topic, std::int32_t partition)>
        next;
    // Asked before take() turns to the cluster once more. Lets so much time pass before it says no.
    std::function<bool(std::chrono::milliseconds pause)> gives_up;
  };
  // `http` and `clock` outlive it. Errors: Unavailable.
  static Result<std::unique_ptr<Consumer>> open(egress::HttpClient& http, const Clock& clock,
                                                Options options);
  ~Consumer();
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;

  // Hands over what has come, in the order of each partition, or waits for the first of it. False:
  // nothing came in time.
  bool take(std::chrono::milliseconds wait,
            const std::function<void(const Consumed& message)>& sink);
  // For those who look at the group's progress, and where nobody else knows better.
  void commit(const std::string& topic, std::int32_t partition, std::uint64_t next);
  // What the cluster complained of last; "" since something came.
  const std::string& complaint() const;

 private:
  struct Core;
  explicit Consumer(std::unique_ptr<Core> core);
  const std::unique_ptr<Core> core_;
};

}  // namespace sluice::kafka
