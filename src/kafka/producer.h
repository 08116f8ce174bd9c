#pragma once
// An idempotent producer (acks all) for one topic, driven by an I/O loop.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/awaitable.h"
#include "base/clock.h"
#include "base/result.h"
#include "kafka/configuration.h"
#include "kafka/meaning.h"
#include "kafka/wire.h"

namespace sluice::kafka {

// A message set is at most as large; a message that is larger goes in one of its own.
inline constexpr std::uint32_t kMessageSetBytesMax = 1'000'000;

struct Message {
  std::string_view payload;  // sent from where it lies
  std::string key;
  std::string_view kind;  // the header "kind"
  std::string offset;     // the header "offset"
};

// What became of messages that were sent in a row.
struct Sent {
  std::uint32_t delivered = 0;  // that many from the first on, without a gap
  // Of the next; Done: there is none.
  Meaning meaning = Meaning::Done;
  std::string text = {};
  // Instead, where the cluster said nothing of it: Timeout, Cancelled, Unavailable, InvalidArgument
  // (the address rules refuse a broker).
  std::optional<WireFault> fault = {};
};

// Threads: the loop's; librdkafka's own do its work. Its end never waits: what is under way is
// broken off, and the library's threads end on another thread.
class Producer {
 public:
  struct Options {
    Cluster cluster;
    std::string topic;
    OrganisationId organisation;
  };
  // `http` and `clock` outlive it. Errors: Unavailable (no threads), InvalidArgument (the
  // topic's name).
  static Result<std::unique_ptr<Producer>> open(egress::HttpClient& http, const Clock& clock,
                                                Options options);
  ~Producer();
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;

  // One call at a time. `messages` outlive the awaitable, their payloads as long as `keep`.
  Awaitable<Sent> send(std::span<const Message> messages, std::shared_ptr<const void> keep,
                       SteadyTime deadline);
  // Something is left that nobody knows the end of, or the connection is lost: take another one.
  bool spent() const;

  // Connects, logs in and finds the topic. Sends no message.
  Awaitable<Sent> look(SteadyTime deadline);

 private:
  struct Core;
  explicit Producer(std::shared_ptr<Core> core);
  const std::shared_ptr<Core> core_;
};

}  // namespace sluice::kafka
