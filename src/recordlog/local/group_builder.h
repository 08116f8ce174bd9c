#pragma once
// Lays out what waited for the disk as chunks: one for each organisation and
// run of one kind, at most 1 MiB of records and 4,096 of them; a larger record
// goes alone.

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/flat_map.h"
#include "base/units.h"
#include "recordlog/local/format.h"
#include "recordlog/recordlog.h"

namespace sluice::recordlog {

inline constexpr std::uint64_t kChunkJoinedBytesMax = 1 * kMiB;
inline constexpr std::uint32_t kChunkRecordsMax = 4'096;

// A chunk ready to be written but for its place: first_offset, stored_ms,
// group_bytes and the header's checksum are set when that is known.
struct PreparedChunk {
  OrganisationId organisation;
  ChunkHeader* header = nullptr;
  std::size_t first_piece = 0;  // of GroupBuilder::pieces()
  std::size_t end_piece = 0;
  std::span<const ChunkMark> marks;  // until GroupBuilder::clear()
  // Where all text lies side by side in one request's payload; else null.
  const AppendRequest* request = nullptr;
  std::string_view joined;
};

// Adds `piece`, or makes the last one longer where it lies directly behind that.
void join_piece(std::vector<iovec>& pieces, iovec piece);

// Records that lie in the request's payload with exactly one comma between them
// are not copied: the pieces point there. Everything else is gathered. Threads:
// none.
class GroupBuilder {
 public:
  // What was added and prepared before is forgotten; memory is kept for the
  // next group.
  void clear();
  // `groups` are indexes into request.groups. In the order of storing; `request` outlives clear().
  void add(const AppendRequest& request, std::span<const std::uint32_t> groups);
  // After the last add().
  std::span<PreparedChunk> prepare();
  // Where frames lie of which pieces() is one; shared, it stays after clear().
  const std::shared_ptr<std::byte[]>& staging() const { return staging_; }
  std::size_t staging_bytes() const { return staging_size_; }
  std::span<const iovec> pieces(const PreparedChunk& chunk) const {
    return std::span(pieces_).subspan(chunk.first_piece, chunk.end_piece - chunk.first_piece);
  }

 private:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  struct Plan {
    OrganisationId organisation;
    Kind kind = Kind::Event;
    std::uint32_t count = 0;
    std::uint32_t marks = 0;
    std::uint64_t joined_bytes = 0;  // with a comma behind each record
    std::uint32_t first_run = kNone;
    std::uint32_t last_run = kNone;
  };
  struct Run {  // records of one request that go into one plan
    std::span<const NewRecord> records;
    const AppendRequest* request = nullptr;
    const NewRecords* group = nullptr;  // of the request; `records` are a part of it
    std::uint32_t next = kNone;
  };

  void add_group(const AppendRequest& request, const NewRecords& group);
  std::uint32_t plan_for(OrganisationId organisation, Kind kind);
  void add_run(Plan& plan, const Run& run, std::uint64_t joined_bytes);
  void reserve_staging();
  void fetch_ahead(const Plan& plan) const;
  void prepare_chunk(const Plan& plan);
  std::span<const ChunkMark> write_marks(const Plan& plan, std::byte* into) const;
  void add_text(std::string_view bytes);
  void add_piece(const void* bytes, std::size_t count);
  std::byte* take(std::size_t count);

  std::vector<Plan> plans_;
  std::vector<Run> runs_;
  FlatMap<OrganisationId, std::uint32_t> open_plans_;
  std::vector<PreparedChunk> chunks_;
  std::vector<iovec> pieces_;
  std::shared_ptr<std::byte[]> staging_;
  std::size_t staging_size_ = 0;
  std::size_t staging_used_ = 0;
};

}  // namespace sluice::recordlog
