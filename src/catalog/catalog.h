#pragma once
// Organisations and streams: what changes slowly. Two implementations: sqlite/ and, in cluster
// mode, postgres/.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/ids.h"

namespace sluice::catalog {

struct Organisation {
  OrganisationId id;
  std::string name;
};

// Values are the API's status ids.
enum class StreamStatus : std::uint8_t { Running = 1, Paused = 2, Error = 3, Pending = 4 };

struct Stream {
  StreamId id;
  OrganisationId organisation;
  std::string name;
  std::uint32_t type = 1;           // data_stream_type: 1 usage, 2 events, 3 both
  std::string destination;          // JSON, validated, secrets in clear: never log it
  std::string delivery;             // JSON, as given
  std::string relation_resolution;  // JSON, stored and echoed; "" = never given
  bool historic = false;            // stream_historic_data
  StreamStatus status = StreamStatus::Running;
  StreamStatus status_before_pause = StreamStatus::Running;  // what resuming goes back to
  std::string last_error;                                    // "" = none
  std::optional<int> remote_status;
  Offset start;                // the cursor it was created with
  std::uint32_t revision = 1;  // grows when a frozen batch is let go: part of webhook-id
  WallTime created;
  WallTime updated;
};

// Durability: what a call reports as done is on stable storage. Threads: any, calls queue up.
// Blocks (SQLite): call it from a worker pool. Errors: Unavailable while the database is locked by
// another process for longer than 5 s, Io, Corruption.
class Catalog {
 public:
  static constexpr std::size_t kStreamsPerOrganisationMax = 10;

  virtual ~Catalog() = default;

  // Makes those known that are not; the first name wins. An empty name means "unknown": a later
  // one is taken.
  virtual Result<void> register_organisations(std::span<const Organisation> organisations) = 0;
  virtual Result<std::vector<Organisation>> organisations() = 0;
  virtual Result<std::optional<Organisation>> organisation(OrganisationId id) = 0;

  // Gives the stream its id. ResourceExhausted: the organisation has
  // kStreamsPerOrganisationMax already. `id`, `created`, `updated` of the argument are ignored.
  virtual Result<Stream> create_stream(Stream stream, WallTime now) = 0;
  // Newest first.
  virtual Result<std::vector<Stream>> streams(OrganisationId organisation) = 0;
  virtual Result<std::vector<Stream>> all_streams() = 0;
  // Nullopt also when it belongs to another organisation.
  virtual Result<std::optional<Stream>> stream(OrganisationId organisation, StreamId id) = 0;
  // Rewrites what may change: name, destination, delivery, relation_resolution, status,
  // status_before_pause, last_error, remote_status, revision; sets `updated`. NotFound.
  virtual Result<Stream> update_stream(const Stream& stream, WallTime now) = 0;
  // NotFound when there is none.
  virtual Result<void> delete_stream(OrganisationId organisation, StreamId id) = 0;
};

// Opens or makes `<path>` (WAL, synchronous=FULL) and brings it to the newest schema. Corruption:
// not a catalog, or made by a newer version.
Result<std::unique_ptr<Catalog>> open_sqlite(const std::string& path);

}  // namespace sluice::catalog
