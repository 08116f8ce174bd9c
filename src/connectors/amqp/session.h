#pragma once
// One connection to a broker, logged in, with one channel that confirms what is published.

#include <deque>
#include <memory>
#include <optional>
#include <variant>

#include "connectors/amqp/config.h"
#include "connectors/amqp/frames.h"
#include "connectors/amqp/outcome.h"
#include "connectors/connector.h"
#include "egress/byte_stream.h"
#include "egress/http_client.h"

namespace sluice::connectors::amqp {

// Threads: the loop's. One call at a time.
class Session {
 public:
  // Or why there is none. `config` and `http` outlive the session.
  static Awaitable<std::variant<std::unique_ptr<Session>, SendOutcome>> open(
      const Config& config, egress::StreamTarget target, egress::HttpClient& http,
      Deadline deadline);

  // Whether the broker has not ended it meanwhile, and nothing is in doubt.
  bool usable();
  Awaitable<SendOutcome> publish(const RecordBatch& batch, Deadline deadline);
  // Delivered: it is there.
  Awaitable<SendOutcome> find_exchange(Deadline deadline);

 private:
  explicit Session(const Config& config) : config_(config) {}

  // Sends, and waits for what is to follow. An outcome: it did not.
  Awaitable<std::optional<SendOutcome>> ask(std::string bytes, Said::Type wanted,
                                            Deadline deadline);
  Awaitable<std::optional<SendOutcome>> log_in(Deadline deadline);
  Awaitable<std::optional<SendOutcome>> push(const RecordBatch& batch, Confirms& confirms,
                                             Deadline deadline);
  std::optional<SendOutcome> take(std::string_view bytes, Confirms& confirms);
  SendOutcome broken(const Error& error, std::uint32_t confirmed) const;

  const Config& config_;
  std::unique_ptr<egress::ByteStream> stream_;
  Reader reader_;
  std::deque<Said> said_;  // read, but not looked at yet
  std::uint32_t frame_max_ = kFrameBytesMax;
  std::uint64_t published_ = 0;  // on the channel
  std::string blocked_;          // why the broker takes nothing; "": it does
  bool in_doubt_ = false;
};

}  // namespace sluice::connectors::amqp
