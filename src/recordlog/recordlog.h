#pragma once
// The record log as everything else sees it. Two implementations: local/ (segment files) and, in
// cluster mode, Kafka. Nothing outside this folder knows which one it runs on.

#include <array>
#include <boost/container/small_vector.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/ids.h"
#include "model/kind.h"
#include "model/record_columns.h"

namespace sluice::recordlog {

// A request with an Idempotency-Key (ingest.md). Lies in every chunk that has records of it.
struct RequestMark {
  std::array<std::uint8_t, 16> key{};   // hash of the key and what it holds within
  std::array<std::uint8_t, 16> body{};  // hash of the unpacked body
  std::uint32_t accepted = 0;           // records of the whole request, over all groups
  std::uint32_t rejected = 0;
  friend bool operator==(const RequestMark&, const RequestMark&) = default;
};

// Records [first, first + count) of group `part` of a marked request, on stable storage. Of a
// request that is stored whole there is one piece: part 0 with all `accepted` records.
struct StoredPiece {
  RequestMark mark;
  std::uint32_t part = 0;
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  friend bool operator==(const StoredPiece&, const StoredPiece&) = default;
};

struct NewRecord {
  std::string_view bytes;  // one JSON object, into AppendRequest::payload
  RecordColumns columns;
};

// Records of one organisation and kind, in the order in which they are to be stored.
struct NewRecords {
  OrganisationId organisation;
  Kind kind = Kind::Event;
  boost::container::small_vector<NewRecord, 1> records;  // many organisations send one at a time
  // Of marked requests: which group of the whole request this is, and which of its records comes
  // first here (the ones before are stored already).
  std::uint32_t part = 0;
  std::uint32_t first = 0;
};

struct AppendRequest {
  std::vector<NewRecords> groups;
  std::shared_ptr<const void> payload;  // keeps every `bytes` valid
  // The memory that `payload` keeps. The log may then hold on to it for readers, as a part of its
  // cache; with 0 it lets go once `done` has been called.
  std::uint64_t payload_bytes = 0;
  std::optional<RequestMark> mark = {};
};

// All records are on stable storage, or an error: ResourceExhausted (no room on the disk or in the
// queue), Unavailable (none for another marked request; the message is for its sender), Io,
// Cancelled (stopping). After an error some may have been stored. Called once, on a thread of the
// log's own or, when refused at once, before append() returns: hand over quickly, do not block.
using AppendDone = std::function<void(Result<void>)>;

// A chunk of the log, or some small ones that follow one another, read and checked. Shared by the
// streams that read it and by the reader's bounded cache; immutable.
struct Chunk {
  OrganisationId organisation;
  Kind kind = Kind::Event;
  Offset first;
  WallTime stored;                         // its first record; the others in the same second
  std::string_view joined;                 // the records' bytes joined by commas
  std::span<const std::uint32_t> starts;   // of each record in `joined`; one more: its size + 1
  std::span<const RecordColumns> columns;  // one a record
  std::unique_ptr<std::byte[]> storage;    // what the views point into
  std::shared_ptr<const void> payload;     // likewise, where it is not null: `joined`

  std::uint32_t count() const { return static_cast<std::uint32_t>(columns.size()); }
  Offset end() const { return plus(first, count()); }
  std::string_view record(std::uint32_t index) const {
    return joined.substr(starts[index], starts[index + 1] - starts[index] - 1);
  }
  // Records [begin, end) as they lie: comma-joined, the inside of a JSON array.
  std::string_view records(std::uint32_t begin, std::uint32_t end) const {
    return joined.substr(starts[begin], starts[end] - starts[begin] - 1);
  }
};

// What a read at some offset found.
struct ReadResult {
  // The next chunk of the wanted kinds that holds an offset >= the one asked for; null when there
  // is none yet. The first records of it may lie before the offset asked for.
  std::shared_ptr<const Chunk> chunk;
  // Every record of the wanted kinds in [asked, resume) is in `chunk`, or was lost (see below):
  // where to read on. Greater than asked when only other kinds or gaps lay there.
  Offset resume;
  // Offsets in [asked, resume) that can no longer be read, by reason. Never silent: the caller
  // counts and shows them.
  std::uint64_t aged_out = 0;  // deleted by retention
  std::uint64_t damaged = 0;   // quarantined: the bytes on disk failed their checksum
};

// Reads one organisation's records in order. Remembers its place, so that reading on costs no
// search. Threads: none; one per stream, on that stream's thread.
class Reader {
 public:
  virtual ~Reader() = default;
  // Reads file pages, so it may block on a cold disk for one chunk (at most about 1 MiB).
  // Io: the disk failed; reading again may work. LogTruncated is NotFound: `from` lies beyond
  // everything ever stored, which only a lost or foreign log can cause.
  virtual Result<ReadResult> read(Offset from) = 0;
};

// Told of newly stored records, on a thread of the log's own. Must be quick and not block.
class AppendObserver {
 public:
  struct Appended {
    OrganisationId organisation;
    Offset end;  // one past the newest stored record
  };
  virtual ~AppendObserver() = default;
  virtual void on_appended(std::span<const Appended> appended) = 0;
};

struct Statistics {
  std::uint64_t bytes = 0;  // of all segment files
  std::uint64_t segments = 0;
  std::uint64_t append_queue_bytes = 0;  // waiting for the disk
  std::uint64_t quarantined_chunks = 0;
  std::uint64_t request_marks = 0;  // keys remembered
};

class RecordLog {
 public:
  virtual ~RecordLog() = default;

  // Threads: any. Records of one organisation are stored in the order of the calls (of one
  // thread); one request's groups may reach the disk at different moments. Refuses with
  // ResourceExhausted at once when too much is waiting for the disk.
  virtual void append(AppendRequest request, AppendDone done) = 0;

  // One observer, set before the first append. Null ends that: when this returns, nobody is within
  // the one before.
  virtual void set_observer(AppendObserver* observer) = 0;

  virtual std::unique_ptr<Reader> reader(OrganisationId organisation, KindSet kinds) = 0;

  // One past the newest record on stable storage: where a stream begins that wants what comes
  // next. Offset 0 for an organisation never heard of. Threads: any.
  virtual Offset end(OrganisationId organisation) const = 0;
  // The first offset whose record was stored at `time` or later; end() if there is none.
  virtual Result<Offset> offset_at(OrganisationId organisation, WallTime time) = 0;

  // What is stored of the marked request with this key, if that was within the time for which keys
  // are remembered; also after a restart and after an append that failed. By part, then place;
  // pieces do not touch. Known before `done` is called. Threads: any.
  virtual std::vector<StoredPiece> stored_pieces(const std::array<std::uint8_t, 16>& key) const = 0;

  virtual Statistics statistics() const = 0;
  // Ok when it takes appends and nothing is damaged; else what an operator must look at.
  virtual Result<void> health() const = 0;
};

}  // namespace sluice::recordlog
