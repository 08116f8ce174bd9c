#pragma once
// What the broker's answers mean. Pure.

#include <cstdint>
#include <string>
#include <vector>

#include "connectors/amqp/frames.h"
#include "connectors/connector.h"

namespace sluice::connectors::amqp {

// Which of a row of messages the broker has confirmed.
class Confirms {
 public:
  // `first`: the number of the row's first message on its channel.
  Confirms(std::uint64_t first, std::uint32_t messages) : first_(first), answers_(messages) {}

  void take(const Said& answer);  // Ack or Nack
  bool settled() const { return open_from_ == answers_.size(); }
  // That many from the first on, without a gap.
  std::uint32_t confirmed() const;

 private:
  enum class Answer : std::uint8_t { None, Ack, Nack };
  std::uint64_t first_;
  std::vector<Answer> answers_;
  std::size_t open_from_ = 0;  // all before it are answered
};

// Of a close or a return. `confirmed` messages of the batch need not go again. `broker` names it
// for a person, `password` is never shown.
SendOutcome classify(const Said& end, std::uint32_t confirmed, std::string_view broker,
                     const std::string& password);

}  // namespace sluice::connectors::amqp
