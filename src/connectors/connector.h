#pragma once
// What dispatch knows of a destination: this file and no more. One folder per connection type.

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/awaitable.h"
#include "base/clock.h"
#include "base/result.h"
#include "model/attempt.h"
#include "model/ids.h"
#include "model/kind.h"
#include "recordlog/recordlog.h"

namespace sluice::egress {
class HttpClient;
}

namespace sluice::signing {
class Issuer;
}

namespace sluice::connectors {

namespace inspector {
class Store;
}

namespace aws {
struct Operator;
}

using Deadline = SteadyTime;

// Consecutive records of one chunk.
struct RecordRun {
  std::shared_ptr<const recordlog::Chunk> chunk;
  std::uint32_t begin = 0;  // index into the chunk
  std::uint32_t end = 0;    // one past the last

  std::uint32_t count() const { return end - begin; }
  std::string_view joined() const { return chunk->records(begin, end); }
};

// When the first record of each kind was stored, in seconds since the epoch; 0: there was none.
struct FirstStored {
  std::uint32_t usage_s = 0;
  std::uint32_t event_s = 0;
  friend bool operator==(const FirstStored&, const FirstStored&) = default;
};
// Of the first `records` records of `runs`.
FirstStored first_stored(const std::vector<RecordRun>& runs, std::uint32_t records);

// The records of a batch that is too large to be held in memory.
class RecordSource {
 public:
  virtual ~RecordSource() = default;
  // From the first record on: they may be asked for as often as wanted.
  virtual void rewind() = 0;
  // The next records; nullopt: that was the last. An error: they cannot be read, or are no longer
  // what the batch says. The attempt then fails as RetryLater and a fault of ours; no receiver may
  // have been given what it could take for the whole.
  virtual Awaitable<Result<std::optional<RecordRun>>> next() = 0;
};

// Records in offset order, as one delivery. The same batch has the same records, bytes and
// webhook_id at every attempt, also after a crash.
struct RecordBatch {
  StreamId stream;
  OrganisationId organisation;
  std::string webhook_id;  // "<stream>-<revision>-<first>-<last>", a replay's "<stream>-r<id>-..."
  Offset first;            // of the first and the last record in it
  Offset last;
  std::optional<Offset> previous;  // last offset of the batch before; none on a stream's first
  // Of each kind of the newest batch delivered before that had such records. Known after a crash
  // too.
  FirstStored delivered_stored;
  std::optional<ReplayId> replay;  // sends it again, beside the stream itself
  std::uint32_t attempt = 1;       // of this batch, from 1
  bool test = false;               // its record is none of the log's
  // Other batches of the same time go out beside it (delivery.parallel).
  bool beside_others = false;
  std::uint32_t records = 0;
  std::uint64_t bytes = 0;  // of the records alone
  std::vector<RecordRun> runs;
  // Not null: the batch is not held, `runs` is empty and the records come from here. Outlives the
  // attempt.
  RecordSource* source = nullptr;
};

struct Delivered {};
struct RetryLater {
  std::string reason;
  std::optional<std::chrono::milliseconds> after;  // what the receiver asked for
  std::uint32_t first_failed = 0;  // this record and all behind it go again; the others arrived
};
// The destination refuses these records. `record`: it looked at each, took those before this one
// and refuses this one; what lies behind it goes again. Else it took none and did not say which.
struct Rejected {
  std::string reason;
  std::optional<std::uint32_t> record = {};
};
// The destination would lose these records without a word: they are dead letters, which no refusal
// counts. Those before `first` arrived, those behind go on as a batch of their own.
struct SetAside {
  std::string reason;
  std::uint32_t first = 0;
  std::uint32_t count = 1;
};
struct Misconfigured {
  std::string reason;
};  // settings, credentials
struct Gone {
  std::string reason;
};  // stop at once
using Decision = std::variant<Delivered, RetryLater, Rejected, Misconfigured, Gone, SetAside>;

// "" for Delivered.
inline std::string_view reason_of(const Decision& decision) {
  return std::visit(
      [](const auto& one) -> std::string_view {
        if constexpr (requires { one.reason; }) {
          return one.reason;
        } else {
          return "";
        }
      },
      decision);
}

struct SendOutcome {
  Decision decision;
  // The answer's HTTP status, or what stands for it: 504 timeout, 502 connection, TLS or DNS
  // failure, 500 a configuration fault, 422 records set aside unsent, 0 an attempt that was broken
  // off. 413 with Rejected: too large, fewer records may do.
  int remote_status = 0;
  bool answered = false;  // the destination answered: its slowness counts for the back-off
  Fault fault = Fault::Destination;  // whose it is, unless delivered
  // What went over the wire, secrets crossed out; null: there is nothing to show.
  std::shared_ptr<const Exchange> exchange = {};
  // Of the records that arrived: were not sent, as the destination makes nothing of them.
  std::uint32_t skipped = 0;
};

// There was nothing to send: that says nothing about the destination.
inline bool all_skipped(const RecordBatch& batch, const SendOutcome& outcome) {
  return std::holds_alternative<Delivered>(outcome.decision) && outcome.skipped == batch.records;
}

// One stream's way to its destination. Threads: its stream's I/O thread.
class Connector {
 public:
  virtual ~Connector() = default;
  // One batch, one attempt; retries, back-off and cursors are dispatch's. `batch` outlives the
  // awaitable. One call at a time. Cancellation ends it early.
  virtual Awaitable<SendOutcome> send(const RecordBatch& batch, Deadline deadline) = 0;
  // Proves settings and credentials without delivering a record.
  virtual Awaitable<Result<void>> check(Deadline deadline) = 0;
};

// How the connector's batches are cut.
struct BatchLimits {
  std::uint32_t records_max = 3000;
  std::uint64_t bytes_max = 5 * 1024 * 1024;  // a single larger record still goes, alone
  // Instead of delivery.linger_ms: how long a batch that is not full waits for more.
  std::optional<std::chrono::milliseconds> linger = {};
  // A batch that needs more memory comes with a source. The connector then answers for all of its
  // records together: it does not deliver, refuse or set aside a part. None: every batch is held.
  std::optional<std::uint64_t> held_bytes_max = {};
};

// What the server hands to every connector. Outlives it.
struct ConnectorContext {
  egress::HttpClient& http;  // of the stream's I/O thread
  const Clock& clock;
  std::string installation;  // for X-Sluice-Hops
  inspector::Store* inspector = nullptr;
  const signing::Issuer* issuer = nullptr;
  const aws::Operator* aws = nullptr;  // the installation's own keys
};

// A stream's `destination` as the catalog keeps it: validated, secrets in clear.
struct Destination {
  OrganisationId organisation;
  StreamId stream;
  const nlohmann::json& settings;  // {"connection_type", "format", "credentials", ...}
  bool success_200_only = false;   // `delivery.success` is "200"
  KindSet kinds = {};              // of the stream's records
};

// What else of a stream that is created or changed its destination may depend on.
struct StreamFacts {
  KindSet kinds;
  bool historic = false;  // begins with what is kept
};

inline constexpr std::array<std::string_view, 1> kJsonAlone = {"Json"};

// One connection type. `schema_json` (the folder's schema.json) is the one place for its settings:
// validation, masking, OpenAPI, portal form and reference page are read from it.
struct ConnectorDescriptor {
  std::string_view type;  // wire name: never changes, never reused
  std::uint32_t id;       // in GET /api/v2/data_stream/connection_type; never reused
  std::string_view schema_json;
  // What the schema cannot say (header syntax, odd hosts). `credentials` has passed the schema.
  Result<void> (*validate)(const nlohmann::json& credentials);
  BatchLimits (*limits)(const nlohmann::json& credentials);
  // `destination` has been validated; its settings need not outlive the call.
  std::unique_ptr<Connector> (*create)(const Destination& destination,
                                       const ConnectorContext& context);
  bool sends_http = false;  // `signing`, `auth` and `ca` of a destination apply
  bool speaks_tls = false;  // to a broker, without HTTP: `ca` applies, and `auth` of type mtls
  bool takes_ca = false;    // its HTTP is its own, but `ca` applies
  std::span<const std::string_view> formats =
      kJsonAlone;  // that it takes; the first is its default
  // Names what the stream must have for itself: two streams of one kind whose claims are equal
  // would destroy each other's records. Null: nothing.
  std::string (*claim)(const nlohmann::json& credentials) = nullptr;
  // `destination`: its format and credentials, validated. InvalidArgument, "<property>: ...": such
  // a stream cannot go there. Null: every one can.
  Result<void> (*fits)(const nlohmann::json& destination, const StreamFacts& stream) = nullptr;
};

// Generated by CMake from the list in connectors/CMakeLists.txt.
const std::vector<const ConnectorDescriptor*>& connector_table();
const ConnectorDescriptor* find_connector(std::string_view type);  // null: no such type

}  // namespace sluice::connectors
