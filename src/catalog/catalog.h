#pragma once
// Organisations and streams: what changes slowly. Two implementations: sqlite/ and, in cluster
// mode, postgres/.

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "catalog/secret_box.h"
#include "model/ids.h"

namespace sluice::catalog {

// Ids are at most this, here and everywhere: they are signed 64-bit integers in JSON receivers,
// SQLite and PostgreSQL.
inline constexpr std::uint64_t kIdMax = std::numeric_limits<std::int64_t>::max();

struct Organisation {
  OrganisationId id;
  std::string name;             // "" = unknown
  std::string company_id = {};  // as `content["company.id"]` of messages names it; "" = none
  std::string project = {};     // its short name; "" = its id, see project_name()
};

// Different for every two organisations.
inline std::string project_name(const Organisation& organisation) {
  return organisation.project.empty() ? std::to_string(organisation.id.value())
                                      : organisation.project;
}

// Values are the API's status ids.
enum class StreamStatus : std::uint8_t {
  Running = 1,
  Paused = 2,
  Error = 3,
  Pending = 4,
  Disabled = 5,  // what is undelivered and what comes is dropped and counted
};

// How a stream came to go on where another stood.
struct HandOver {
  StreamId from;
  Offset cursor;
  // First and last record that the other may have delivered although it never heard so.
  std::optional<std::pair<Offset, Offset>> in_doubt;
};

struct Stream {
  StreamId id;
  OrganisationId organisation;
  std::string name;
  std::uint32_t type = 1;           // data_stream_type: 1 usage, 2 events, 3 both
  std::string destination;          // JSON, validated, secrets in clear: never log it
  std::string delivery;             // JSON, as given
  std::string filters = "[]";       // JSON list, validated
  std::string labels;               // JSON list; "" = never given
  std::string relation_resolution;  // JSON, stored and echoed; "" = never given
  bool historic = false;            // stream_historic_data
  StreamStatus status = StreamStatus::Running;
  StreamStatus status_before_pause = StreamStatus::Running;  // what resuming goes back to
  std::string last_error;                                    // "" = none
  std::optional<int> remote_status;
  Offset start;  // the cursor it was created with, or last dropped records up to
  std::optional<Offset> park_to = {};  // the records before it are to become dead letters
  std::uint32_t revision = 1;          // grows when a frozen batch is let go: part of webhook-id
  // Grow with each change of what selects the records and of what shapes or receives their bytes
  // (size, format, the destination's target): a batch frozen under another one is let go.
  std::uint32_t filter_revision = 0;
  std::uint32_t render_revision = 0;
  std::uint32_t settings_revision = 0;     // grows with every change_stream()
  std::uint32_t destination_revision = 0;  // settings_revision that brought `destination`
  std::uint32_t applied_revision = 0;      // settings_revision that `status` came about under
  std::uint32_t failing_s = 0;  // without success so far: what counts for delivery.error_after_s
  WallTime created;
  WallTime updated;
  std::optional<HandOver> hand_over = {};
  std::optional<StreamId> replaced_by = {};  // which has gone on from its cursor: it is closed
  WallTime closed = {};                      // when that was
};

// What the API may change of a stream; nullopt stays as it is.
struct StreamChange {
  std::optional<std::string> name = {};
  std::optional<std::string> relation_resolution = {};
  std::optional<std::string> filters = {};  // filter_revision grows if they differ
  std::optional<std::string> destination = {};
  std::optional<std::string> delivery = {};
  std::optional<std::string> labels = {};
  bool new_rendering = false;  // render_revision grows
  // Conflict, and nothing changes, if the stream's settings_revision is another by now.
  std::optional<std::uint32_t> expected_revision = {};
};

// Durability: what a call reports as done is on stable storage. Threads: any, calls queue up.
// Blocks (SQLite): call it from a worker pool. Errors: Unavailable while the database is locked by
// another process for longer than 5 s, Io, Corruption.
class Catalog {
 public:
  static constexpr std::size_t kStreamsPerOrganisationMax = 10;  // where nobody says otherwise

  virtual ~Catalog() = default;

  // Makes those known that are not, by id and name; the first name wins. An empty name means
  // "unknown": a later one is taken. InvalidArgument: an id above kIdMax.
  virtual Result<void> register_organisations(std::span<const Organisation> organisations) = 0;
  virtual Result<std::vector<Organisation>> organisations() = 0;
  virtual Result<std::optional<Organisation>> organisation(OrganisationId id) = 0;

  // Gives the stream its id. ResourceExhausted: the organisation has as many already as it may;
  // closed ones do not count. NotFound: no such organisation.
  // `id`, `created`, `updated` of the argument are ignored; ids are never reused. With `hand_over`
  // the stream that it names is closed, in the same step; Conflict: it cannot be any more.
  virtual Result<Stream> create_stream(Stream stream, WallTime now) = 0;
  // Newest first.
  virtual Result<std::vector<Stream>> streams(OrganisationId organisation) = 0;
  virtual Result<std::vector<Stream>> all_streams() = 0;
  // Nullopt also when it belongs to another organisation.
  virtual Result<std::optional<Stream>> stream(OrganisationId organisation, StreamId id) = 0;
  virtual Result<std::optional<Stream>> stream(StreamId id) = 0;  // whosever it is
  // The API's half of a stream: a change of its settings; sets `updated`. NotFound, Conflict.
  virtual Result<Stream> change_stream(OrganisationId organisation, StreamId id,
                                       const StreamChange& change, WallTime now) = 0;
  // Dispatch's half: rewrites status, status_before_pause, last_error, remote_status, start,
  // park_to, revision, applied_revision, failing_s and nothing else; sets `updated`. NotFound.
  virtual Result<void> update_stream(const Stream& stream, WallTime now) = 0;
  // NotFound when there is none.
  virtual Result<void> delete_stream(OrganisationId organisation, StreamId id) = 0;
};

// Opens or makes `<path>` (mode 0600, WAL, synchronous=FULL) and brings it to the newest schema.
// Two processes may have it open. Corruption: damaged, not a catalog, or made by a newer version.
// Destinations lie in it sealed by `secrets`, which open_secrets() gives. One that does not open
// reads as {}, and is logged.
Result<std::unique_ptr<Catalog>> open_sqlite(
    const std::string& path, const SecretBox& secrets,
    std::size_t streams_per_organisation_max = Catalog::kStreamsPerOrganisationMax);

}  // namespace sluice::catalog
