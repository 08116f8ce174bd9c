#pragma once
// One connection to a broker that has let us in.

#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "connectors/connector.h"
#include "connectors/mqtt/config.h"
#include "connectors/mqtt/outcome.h"
#include "connectors/mqtt/packets.h"
#include "egress/byte_stream.h"
#include "egress/http_client.h"

namespace sluice::connectors::mqtt {

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

 private:
  // How far a batch has come.
  struct Progress {
    std::vector<bool> acknowledged;  // by record
    std::uint32_t confirmed = 0;     // that many from the first on, without a gap
    std::uint32_t sent = 0;
    std::uint32_t answered = 0;
    std::optional<SendOutcome> end;  // the connection's
    std::optional<Heard> refusal;    // of the first record that was
    std::uint32_t refused = 0;       // which that is
    bool whole() const { return confirmed == acknowledged.size(); }
  };

  explicit Session(const Config& config) : config_(config), reader_(config.login.version) {}

  Awaitable<std::optional<SendOutcome>> log_in(Deadline deadline);
  // Adds what may be sent now; what the broker would not take is a refusal of its own.
  std::string next(const std::vector<Publication>& messages, Progress& progress) const;
  void take(std::string_view bytes, Progress& progress);
  Awaitable<Result<std::string>> exchange(std::string out, Deadline deadline);
  SendOutcome broken(const Error& error, std::uint32_t confirmed) const;
  SendOutcome outcome(Progress& progress) const;

  const Config& config_;
  std::unique_ptr<egress::ByteStream> stream_;
  Reader reader_;
  Heard granted_;  // what the broker takes
  bool in_doubt_ = false;
};

}  // namespace sluice::connectors::mqtt
