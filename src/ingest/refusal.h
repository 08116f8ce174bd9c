#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "http/error_answer.h"

namespace sluice::ingest {

struct RecordFault {
  std::uint32_t index = 0;  // among the request's records, from 0
  std::uint32_t line = 0;   // of the body, from 1; 0: the body does not consist of lines
  std::string message;
};

// Why a request is refused: nothing of it is stored.
struct Refusal {
  http::ErrorToken token = http::ErrorToken::InvalidRecord;
  std::string message;
  std::vector<RecordFault> faults = {};  // with InvalidRecord only: the first of them
};

http::Response answer(const Refusal& refusal);

}  // namespace sluice::ingest
