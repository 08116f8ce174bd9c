#pragma once
#include <cstddef>
#include <memory>

#include "base/result.h"
#include "recordlog/recordlog.h"

namespace sluice::recordlog {

// A frame as it lies in a segment becomes a Chunk whose views point into it: nothing is copied.
// Corruption: anything about it is wrong, the checksum above all.
Result<std::shared_ptr<const Chunk>> decode_chunk(std::unique_ptr<std::byte[]> frame,
                                                  std::size_t bytes);

}  // namespace sluice::recordlog
