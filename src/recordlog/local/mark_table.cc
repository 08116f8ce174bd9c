#include "recordlog/local/mark_table.h"

#include <algorithm>

namespace sluice::recordlog {

MarkTable::MarkTable(std::uint64_t keys_max, std::int64_t kept_s, Metrics& metrics)
    : keys_max_(keys_max),
      kept_ms_(kept_s * 1000),
      gauge_(metrics.gauge("sluice_recordlog_request_marks",
                           "Idempotency keys remembered, of requests stored.")) {}

bool MarkTable::takes(const Key& key, WallTime now) {
  const MutexLock lock(mutex_);
  if (requests_.size() < keys_max_ || requests_.contains(key)) return true;
  forget_before(now.ms - kept_ms_);
  return requests_.size() < keys_max_;
}

void MarkTable::add(std::span<const IndexMark> marks) {
  if (marks.empty()) return;
  const MutexLock lock(mutex_);
  for (const IndexMark& mark : marks) add_one(mark);
  gauge_.set(static_cast<double>(requests_.size()));
}

void MarkTable::add_one(const IndexMark& added) {
  const ChunkMark& mark = added.mark;
  forget_before(added.stored_ms - kept_ms_);
  const auto [found, is_new] = requests_.try_emplace(mark.key);
  Request& request = found->second;
  if (is_new) by_age_.emplace_back(added.stored_ms, mark.key);
  if (is_new || request.body != mark.body) {
    // The key was used anew: after its day, or by a source for its next run, whose body is greater.
    const std::pair newest(request.stored_ms, request.body);
    if (!is_new && std::pair(added.stored_ms, mark.body) < newest) return;
    request = {mark.body, mark.accepted, mark.rejected, added.stored_ms, 0, {}};
  }
  request.stored_ms = std::max(request.stored_ms, added.stored_ms);
  if (!is_new && request.whole()) return;
  request.stored += add_piece(request.pieces, {mark.part, mark.first, mark.count});
  if (request.whole()) request.pieces = {};
}

// Grown together with those that it meets. Returns how many records are new.
std::uint32_t MarkTable::add_piece(std::vector<Piece>& pieces, Piece piece) {
  const auto end_of = [](const Piece& p) { return std::uint64_t{p.first} + p.count; };
  const auto lies_before = [&](const Piece& p) {
    return p.part < piece.part || (p.part == piece.part && end_of(p) < piece.first);
  };
  const auto begin = std::partition_point(pieces.begin(), pieces.end(), lies_before);
  auto end = begin;
  std::uint32_t known = 0;
  for (; end != pieces.end() && end->part == piece.part && end->first <= end_of(piece); ++end) {
    const std::uint64_t joined_end = std::max(end_of(piece), end_of(*end));
    piece.first = std::min(piece.first, end->first);
    piece.count = static_cast<std::uint32_t>(joined_end - piece.first);
    known += end->count;
  }
  pieces.insert(pieces.erase(begin, end), piece);
  return piece.count - known;
}

void MarkTable::forget_before(std::int64_t ms) {
  while (!by_age_.empty() && by_age_.front().first < ms) {
    const Key key = by_age_.front().second;
    by_age_.pop_front();
    const auto found = requests_.find(key);
    if (found->second.stored_ms < ms) {
      requests_.erase(found);
    } else {
      by_age_.emplace_back(found->second.stored_ms, key);
    }
  }
  gauge_.set(static_cast<double>(requests_.size()));
}

std::vector<StoredPiece> MarkTable::find(const Key& key, WallTime now) const {
  const MutexLock lock(mutex_);
  const auto found = requests_.find(key);
  if (found == requests_.end() || found->second.stored_ms < now.ms - kept_ms_) return {};
  const Request& request = found->second;
  const RequestMark mark{key, request.body, request.accepted, request.rejected};
  if (request.whole()) return {{mark, 0, 0, request.accepted}};
  std::vector<StoredPiece> pieces;
  pieces.reserve(request.pieces.size());
  for (const Piece& piece : request.pieces) {
    pieces.push_back({mark, piece.part, piece.first, piece.count});
  }
  return pieces;
}

std::uint64_t MarkTable::keys() const {
  const MutexLock lock(mutex_);
  return requests_.size();
}

}  // namespace sluice::recordlog
