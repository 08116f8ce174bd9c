#pragma once
#include <memory>
#include <optional>

#include "http/server.h"

namespace sluice::http {

// What a Responder answers to. Threads: any.
struct Responder::Target {
  virtual ~Target() = default;
  // nullopt: dropped unanswered.
  virtual void answer(std::optional<Response> response) = 0;
  // As Responder::stream().
  virtual std::shared_ptr<AnswerStream> answer_in_pieces(Response) { return nullptr; }
};

}  // namespace sluice::http
