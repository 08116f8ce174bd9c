#pragma once
// Dead letters as chunks of the log: what a redrive reads. Internal to dispatch.

#include <span>

#include "catalog/dead_letters.h"
#include "dispatch/batch.h"

namespace sluice::dispatch {

// The first of `letters`, with those behind it that have the offsets next to it and its kind. Not
// empty.
ChunkPtr chunk_of(std::span<const catalog::DeadLetter> letters, OrganisationId organisation);

}  // namespace sluice::dispatch
