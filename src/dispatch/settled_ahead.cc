#include "dispatch/settled_ahead.h"

#include <xxhash.h>

#include <cstring>

#include "base/assert.h"

namespace sluice::dispatch {
namespace {

constexpr std::size_t kRecordBytes = 9;  // its offset, then what became of it

template <class Integer>
void put(std::string& bytes, Integer value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::uint64_t& counter(SettledAhead::Counts& counts, Settled how) {
  switch (how) {
    case Settled::Delivered: break;
    case Settled::Parked: return counts.parked;
    case Settled::AgedOut: return counts.aged_out;
    case Settled::Skipped: return counts.skipped;
  }
  return counts.delivered;
}

}  // namespace

void SettledAhead::add(Offset offset, Settled how) {
  const bool is_new = records_.emplace(offset, how).second;
  SLUICE_ASSERT(is_new);
  ++counter(counts_, how);
}

SettledAhead::Passed SettledAhead::pass(Offset cursor) {
  Passed passed;
  const auto end = records_.lower_bound(cursor);
  for (auto it = records_.begin(); it != end; ++it) {
    ++counter(passed.counts, it->second);
    --counter(counts_, it->second);
    if (it->second != Settled::AgedOut) passed.last = it->first;
  }
  records_.erase(records_.begin(), end);
  return passed;
}

std::optional<std::pair<Offset, Offset>> SettledAhead::range() const {
  if (records_.empty()) return std::nullopt;
  return std::pair(records_.begin()->first, records_.rbegin()->first);
}

std::string SettledAhead::encode() const {
  std::string bytes;
  if (records_.empty()) return bytes;
  bytes.reserve(records_.size() * kRecordBytes + sizeof(std::uint64_t));
  for (const auto& [offset, how] : records_) {
    put(bytes, offset.value());
    put(bytes, how);
  }
  put(bytes, std::uint64_t{XXH3_64bits(bytes.data(), bytes.size())});
  return bytes;
}

std::optional<SettledAhead> SettledAhead::decode(std::string_view bytes) {
  SettledAhead ahead;
  if (bytes.empty()) return ahead;
  std::uint64_t sum = 0;
  if (bytes.size() % kRecordBytes != sizeof sum) return std::nullopt;
  const std::string_view records = bytes.substr(0, bytes.size() - sizeof sum);
  std::memcpy(&sum, bytes.data() + records.size(), sizeof sum);
  if (sum != XXH3_64bits(records.data(), records.size())) return std::nullopt;
  for (std::size_t at = 0; at < records.size(); at += kRecordBytes) {
    std::uint64_t offset = 0;
    std::memcpy(&offset, records.data() + at, sizeof offset);
    const auto how = static_cast<Settled>(records[at + sizeof offset]);
    if (how < Settled::Delivered || how > Settled::Skipped) return std::nullopt;
    if (ahead.contains(Offset{offset})) return std::nullopt;
    ahead.add(Offset{offset}, how);
  }
  return ahead;
}

}  // namespace sluice::dispatch
