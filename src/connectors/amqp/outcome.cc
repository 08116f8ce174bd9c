#include "connectors/amqp/outcome.h"

#include <fmt/format.h>

#include <algorithm>

#include "connectors/common/failure.h"

namespace sluice::connectors::amqp {
namespace {

// AMQP 0.9.1, "reply codes", and what RabbitMQ gives them for.
constexpr std::uint16_t kContentTooLarge = 311;
constexpr std::uint16_t kNoRoute = 312;
constexpr std::uint16_t kInvalidPath = 402;
constexpr std::uint16_t kAccessRefused = 403;
constexpr std::uint16_t kNotFound = 404;
constexpr std::uint16_t kPreconditionFailed =
    406;  // of a publication: larger than max_message_size
constexpr std::uint16_t kNotAllowed = 530;
constexpr std::uint16_t kNotImplemented = 540;

}  // namespace

void Confirms::take(const Said& answer) {
  const Answer said = answer.type == Said::Type::Ack ? Answer::Ack : Answer::Nack;
  const std::uint64_t end = first_ + answers_.size();
  // A multiple answer to 0 is one to all.
  const std::uint64_t last = answer.tag == 0 && answer.multiple ? end - 1 : answer.tag;
  if (last < first_ || last >= end) return;
  const std::size_t at = last - first_;
  for (std::size_t i = answer.multiple ? open_from_ : at; i <= at; ++i) {
    if (answers_[i] == Answer::None) answers_[i] = said;
  }
  while (open_from_ < answers_.size() && answers_[open_from_] != Answer::None) ++open_from_;
}

std::uint32_t Confirms::confirmed() const {
  const auto first = std::ranges::find_if(answers_, [](Answer one) { return one != Answer::Ack; });
  return static_cast<std::uint32_t>(first - answers_.begin());
}

SendOutcome classify(const Said& end, std::uint32_t confirmed, std::string_view broker,
                     const std::string& password) {
  std::string reason = fmt::format("{}: {} {}", broker, end.code, excerpt(end.text, {password}));
  if (end.type == Said::Type::Returned) {
    reason += fmt::format(": no queue takes messages with the routing key \"{}\"",
                          excerpt(end.routing_key, {}));
  }
  switch (end.code) {
    case kContentTooLarge:
    case kPreconditionFailed: return {Rejected{std::move(reason), {}}, 413, true};
    case kNoRoute:
    case kInvalidPath:
    case kAccessRefused:
    case kNotFound:
    case kNotAllowed:
    case kNotImplemented: return {Misconfigured{std::move(reason)}, 500, true};
    default: return {RetryLater{std::move(reason), {}, confirmed}, 503, true};
  }
}

}  // namespace sluice::connectors::amqp
