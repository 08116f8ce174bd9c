#pragma once
#include <cstdint>
#include <optional>
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
  std::uint32_t retry_after_s = 1;       // where the answer says when to come again
};

http::Response answer(const Refusal& refusal);

// What is said of a request that is stored.
struct Acceptance {
  std::uint64_t accepted = 0;
  std::optional<std::uint64_t> rejected = {};           // with on_invalid=skip
  std::optional<std::vector<RecordFault>> faults = {};  // likewise: the first of them
  bool replayed = false;  // it, or part of it, had been stored before under the same key
};
http::Response answer(const Acceptance& acceptance);

}  // namespace sluice::ingest
