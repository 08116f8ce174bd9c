#pragma once
#include <optional>

#include "http/server.h"

namespace sluice::http {

// What a Responder answers to. Threads: any.
struct Responder::Target {
  virtual ~Target() = default;
  // nullopt: dropped unanswered.
  virtual void answer(std::optional<Response> response) = 0;
};

}  // namespace sluice::http
