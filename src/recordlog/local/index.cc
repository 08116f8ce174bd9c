#include "recordlog/local/index.h"

#include <algorithm>
#include <cstring>

namespace sluice::recordlog {
namespace {

struct Footer {
  std::uint64_t position = 0;
  IndexHeader header;
};

Error damaged_index(std::string_view what) {
  return {ErrorCode::Corruption, "the segment's index is damaged: " + std::string(what)};
}

Result<std::string> read_exactly(const File& file, std::uint64_t position, std::size_t count) {
  std::string bytes(count, '\0');
  const Result<std::size_t> got = file.read_at(position, bytes);
  if (!got) return got.error();
  if (*got != count) return damaged_index("the file is too short");
  return bytes;
}

Result<Footer> read_footer(const File& file) {
  const Result<std::uint64_t> size = file.size();
  if (!size) return size.error();
  if (*size < sizeof(SegmentHeader) + sizeof(IndexHeader) + sizeof(Trailer)) {
    return damaged_index("not sealed");
  }
  const Result<std::string> end = read_exactly(file, *size - sizeof(Trailer), sizeof(Trailer));
  if (!end) return end.error();
  const auto trailer = read_trailer(*end);
  if (!trailer || trailer->index_position > *size) return damaged_index("not sealed");
  const Result<std::string> begin =
      read_exactly(file, trailer->index_position, sizeof(IndexHeader));
  if (!begin) return begin.error();
  const auto header = read_index_header(*begin);
  if (!header || trailer->index_position + header->frame_bytes + sizeof(Trailer) != *size) {
    return damaged_index("its header");
  }
  return Footer{trailer->index_position, *header};
}

Result<std::string> read_body(const File& file, const Footer& footer) {
  Result<std::string> body = read_exactly(file, footer.position + sizeof(IndexHeader),
                                          footer.header.frame_bytes - sizeof(IndexHeader));
  if (body && checksum_of(body->data(), body->size()) != footer.header.body_checksum) {
    return damaged_index("its entries");
  }
  return body;
}

template <class T>
std::vector<T> take(std::string_view& bytes, std::size_t count) {
  std::vector<T> taken(count);
  if (count > 0) std::memcpy(taken.data(), bytes.data(), count * sizeof(T));
  bytes.remove_prefix(count * sizeof(T));
  return taken;
}

template <class T>
void append(std::string& bytes, const T* values, std::size_t count) {
  bytes.append(reinterpret_cast<const char*>(values), count * sizeof(T));
}

// The tables agree with each other; their checksum is right, so this is about
// our own bugs and foreign writers, but a reader must not run off the end for
// either.
bool consistent(const SegmentIndex& index) {
  std::uint64_t next = 0;
  for (const IndexOrganisation& organisation : index.organisations) {
    if (organisation.first_entry != next || organisation.entries == 0) return false;
    next += organisation.entries;
  }
  return next == index.entries.size();
}

}  // namespace

const IndexOrganisation* SegmentIndex::find(OrganisationId organisation) const {
  const auto found = std::lower_bound(
      organisations.begin(), organisations.end(), organisation.value(),
      [](const IndexOrganisation& o, std::uint64_t id) { return o.organisation < id; });
  if (found == organisations.end() || found->organisation != organisation.value()) return nullptr;
  return &*found;
}

std::span<const IndexEntry> SegmentIndex::entries_of(OrganisationId organisation) const {
  const IndexOrganisation* found = find(organisation);
  if (found == nullptr) return {};
  return std::span(entries).subspan(found->first_entry, found->entries);
}

std::uint64_t SegmentIndex::memory_bytes() const {
  return sizeof(*this) + organisations.size() * sizeof(IndexOrganisation) +
         entries.size() * sizeof(IndexEntry);
}

IndexEntry make_entry(const ChunkHeader& header, std::uint64_t position, bool damaged) {
  IndexEntry entry;
  entry.first_offset = header.first_offset;
  entry.stored_ms = header.stored_ms;
  entry.position = static_cast<std::uint32_t>(position);
  entry.frame_bytes = header.frame_bytes;
  entry.count = header.count;
  entry.kind = header.kind;
  entry.flags = damaged ? IndexEntry::kDamaged : 0;
  return entry;
}

void GrowingIndex::add(OrganisationId organisation, const IndexEntry& entry) {
  entries_[organisation].push_back(entry);
  newest_stored_ = std::max(newest_stored_, WallTime{entry.stored_ms});
}

std::span<const IndexEntry> GrowingIndex::entries_of(OrganisationId organisation) const {
  const auto found = entries_.find(organisation);
  if (found == entries_.end()) return {};
  return found->second;
}

std::vector<OrganisationId> GrowingIndex::organisations() const {
  std::vector<OrganisationId> ids;
  ids.reserve(entries_.size());
  for (const auto& [organisation, entries] : entries_) ids.push_back(organisation);
  return ids;
}

SegmentIndex GrowingIndex::finish() const {
  SegmentIndex index;
  index.newest_stored = newest_stored_;
  index.lost_records_max = lost_records_max_;
  const std::map sorted(entries_.begin(), entries_.end());
  for (const auto& [organisation, entries] : sorted) {
    index.organisations.push_back({.organisation = organisation.value(),
                                   .first_offset = entries.front().first_offset,
                                   .end_offset = entries.back().end_offset(),
                                   .first_entry = static_cast<std::uint32_t>(index.entries.size()),
                                   .entries = static_cast<std::uint32_t>(entries.size())});
    index.entries.insert(index.entries.end(), entries.begin(), entries.end());
  }
  return index;
}

std::string encode_footer(const SegmentIndex& index, std::span<const IndexMark> marks,
                          std::uint64_t position) {
  std::string body;
  append(body, index.organisations.data(), index.organisations.size());
  const std::size_t organisations_bytes = body.size();
  append(body, index.entries.data(), index.entries.size());
  append(body, marks.data(), marks.size());

  IndexHeader header;
  header.frame_bytes = static_cast<std::uint32_t>(sizeof(header) + body.size());
  header.body_checksum = checksum_of(body.data(), body.size());
  header.organisations = static_cast<std::uint32_t>(index.organisations.size());
  header.entries = static_cast<std::uint32_t>(index.entries.size());
  header.marks = static_cast<std::uint32_t>(marks.size());
  header.newest_stored_ms = index.newest_stored.ms;
  header.lost_records_max = index.lost_records_max;
  header.organisations_checksum = checksum_of(body.data(), organisations_bytes);
  set_checksum(header);
  Trailer trailer;
  trailer.index_position = position;
  set_checksum(trailer);

  std::string footer;
  footer.reserve(sizeof(header) + body.size() + sizeof(trailer));
  append(footer, &header, 1);
  footer += body;
  append(footer, &trailer, 1);
  return footer;
}

Result<SegmentIndex> read_index(const File& file) {
  const Result<Footer> footer = read_footer(file);
  if (!footer) return footer.error();
  const IndexHeader& header = footer->header;
  const Result<std::string> body = read_body(file, *footer);
  if (!body) return body.error();
  SegmentIndex index;
  std::string_view left = *body;
  index.organisations = take<IndexOrganisation>(left, header.organisations);
  index.entries = take<IndexEntry>(left, header.entries);
  index.newest_stored = {header.newest_stored_ms};
  index.lost_records_max = header.lost_records_max;
  if (!consistent(index)) return damaged_index("its tables disagree");
  return index;
}

Result<SegmentIndex> read_index_organisations(const File& file) {
  const Result<Footer> footer = read_footer(file);
  if (!footer) return footer.error();
  const IndexHeader& header = footer->header;
  const Result<std::string> table =
      read_exactly(file, footer->position + sizeof(IndexHeader),
                   std::size_t{header.organisations} * sizeof(IndexOrganisation));
  if (!table) return table.error();
  if (checksum_of(table->data(), table->size()) != header.organisations_checksum) {
    return damaged_index("its organisations");
  }
  SegmentIndex index;
  std::string_view left = *table;
  index.organisations = take<IndexOrganisation>(left, header.organisations);
  index.newest_stored = {header.newest_stored_ms};
  index.lost_records_max = header.lost_records_max;
  return index;
}

Result<std::vector<IndexMark>> read_index_marks(const File& file) {
  const Result<Footer> footer = read_footer(file);
  if (!footer) return footer.error();
  const std::size_t marks = footer->header.marks;
  if (marks == 0) return std::vector<IndexMark>();
  const Result<std::string> body = read_body(file, *footer);
  if (!body) return body.error();
  std::string_view table = std::string_view(*body).substr(body->size() - marks * sizeof(IndexMark));
  return take<IndexMark>(table, marks);
}

}  // namespace sluice::recordlog
