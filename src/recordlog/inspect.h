#pragma once
// Looks into a record log's directory without changing it: `sluice log inspect` and `verify`, and
// tests. May run beside a server; what is being written at that moment shows as an unfinished
// write, and files that retention deletes meanwhile are passed over.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/fs.h"
#include "base/result.h"
#include "model/ids.h"
#include "model/kind.h"
#include "model/record_columns.h"

namespace sluice::recordlog {

struct SegmentSummary {
  std::uint32_t partition = 0;
  std::uint64_t sequence = 0;
  std::string path;
  bool sealed = false;
  std::uint64_t bytes = 0;  // of the file, reserved space included
  std::uint64_t organisations = 0;
  std::uint64_t chunks = 0;
  std::uint64_t records = 0;
  std::uint64_t marks = 0;  // of requests with an Idempotency-Key, one a chunk
  WallTime first_stored;    // 0: no records
  WallTime last_stored;
};

// By partition, then sequence. NotFound: not a record log's directory.
Result<std::vector<SegmentSummary>> inspect_log(FileSystem& fs, const std::string& directory);

struct Finding {
  enum class Severity : std::uint8_t {
    Note,    // normal after a stop or failed write: an unfinished tail, offsets never given out
    Damage,  // records are, or may be, lost
  };
  Severity severity = Severity::Note;
  std::string path;
  std::uint64_t position = 0;  // in the file
  std::string message;
  std::optional<OrganisationId> organisation;  // where known, with the offsets [first, end)
  Offset first;
  Offset end;
};

// Reads everything: every chunk's checksum, footers against chunks, offsets of each organisation
// from segment to segment.
Result<std::vector<Finding>> verify_log(FileSystem& fs, const std::string& directory);

struct FoundRecord {
  OrganisationId organisation;
  Kind kind = Kind::Event;
  Offset offset;
  WallTime stored;
  std::string_view bytes;  // until the callback returns
  RecordColumns columns;
};

// Every readable record, partition by partition, in the order of storing. What a running server
// has written but not yet synced is included.
Result<void> for_each_record(FileSystem& fs, const std::string& directory,
                             const std::function<void(const FoundRecord&)>& callback);

}  // namespace sluice::recordlog
