#pragma once
#include <span>
#include <string_view>

#include "model/kind.h"

namespace sluice::cli {

// The files of examples/records, embedded by CMake: what platforms of different vendors send.
struct ExampleRecords {
  Kind kind;
  std::string_view lines;  // NDJSON
};
std::span<const ExampleRecords> example_records();

}  // namespace sluice::cli
