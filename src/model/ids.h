#pragma once
#include <cstdint>

#include "base/strong_id.h"

namespace sluice {

using OrganisationId = StrongId<std::uint64_t, struct OrganisationIdTag>;
using ApplicationTokenId = StrongId<std::uint64_t, struct ApplicationTokenIdTag>;
using StreamId = StrongId<std::uint64_t, struct StreamIdTag>;
using ReplayId = StrongId<std::uint64_t, struct ReplayIdTag>;

// A record's place among the records of its organisation: grows in the order of storing, never
// reused. Compared within one organisation only; gaps are allowed.
using Offset = StrongId<std::uint64_t, struct OffsetTag>;
constexpr Offset next(Offset offset) { return Offset{offset.value() + 1}; }
constexpr Offset plus(Offset offset, std::uint64_t records) {
  return Offset{offset.value() + records};
}

}  // namespace sluice
