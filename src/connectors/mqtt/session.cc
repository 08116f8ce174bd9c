#include "connectors/mqtt/session.h"

#include <algorithm>

#include "base/units.h"
#include "connectors/common/failure.h"

namespace sluice::connectors::mqtt {
namespace {

constexpr std::size_t kPieceBytes = 128 * kKiB;
constexpr std::uint8_t kPacketTooLarge = 0x95;

Error hung_up() { return {ErrorCode::Unavailable, "the broker hung up"}; }

}  // namespace

SendOutcome Session::broken(const Error& error, std::uint32_t confirmed) const {
  SendOutcome outcome = failed(error, Fault::Destination, config_.url.shown);
  if (auto* later = std::get_if<RetryLater>(&outcome.decision)) later->first_failed = confirmed;
  return outcome;
}

Awaitable<std::variant<std::unique_ptr<Session>, SendOutcome>> Session::open(
    const Config& config, egress::StreamTarget target, egress::HttpClient& http,
    Deadline deadline) {
  std::unique_ptr<Session> session(new Session(config));
  Fault fault = Fault::Destination;
  Result<std::unique_ptr<egress::ByteStream>> made =
      co_await http.connect(std::move(target), deadline, &fault);
  if (!made.has_value()) co_return failed(made.error(), fault, config.url.shown);
  session->stream_ = *std::move(made);
  std::optional<SendOutcome> failure = co_await session->log_in(deadline);
  if (failure) co_return *std::move(failure);
  co_return std::move(session);
}

Awaitable<std::optional<SendOutcome>> Session::log_in(Deadline deadline) {
  const Login& login = config_.login;
  std::string out = connect(login);
  while (true) {
    const Result<std::string> got = co_await exchange(std::move(out), deadline);
    out.clear();
    if (!got.has_value()) co_return broken(got.error(), 0);
    const Result<std::vector<Heard>> heard = reader_.read(*got);
    if (!heard.has_value()) co_return broken(heard.error(), 0);
    if (heard->empty()) continue;
    granted_ = heard->front();
    if (granted_.type != Heard::Type::ConnAck || is_failure(granted_, login.version)) {
      co_return classify(granted_, login.version, 0, config_.url.shown, login.password);
    }
    if (granted_.qos_max > 0) co_return std::nullopt;
    co_return SendOutcome{
        Misconfigured{config_.url.shown + ": the broker takes no messages of QoS 1"}, 500, true};
  }
}

Awaitable<Result<std::string>> Session::exchange(std::string out, Deadline deadline) {
  if (!out.empty()) {
    const Result<void> sent = co_await stream_->send(out, deadline);
    // The broker's last words may say why.
    if (!sent.has_value()) {
      std::string words = stream_->received();
      if (words.empty()) co_return sent.error();
      co_return words;
    }
  }
  Result<std::string> got = co_await stream_->receive(deadline);
  if (got.has_value() && got->empty()) co_return hung_up();
  co_return got;
}

bool Session::usable() {
  if (in_doubt_) return false;
  Progress none;
  take(stream_->received(), none);
  return !none.end && !stream_->ended();
}

void Session::take(std::string_view bytes, Progress& progress) {
  const Result<std::vector<Heard>> read = reader_.read(bytes);
  if (!read.has_value()) {
    progress.end = broken(read.error(), progress.confirmed);
    return;
  }
  for (const Heard& heard : *read) {
    if (heard.type != Heard::Type::PubAck) {
      progress.end = classify(heard, config_.login.version, progress.confirmed, config_.url.shown,
                              config_.login.password);
      return;
    }
    const std::uint32_t index = heard.id - 1U;  // of 0: beyond all
    if (index >= progress.sent) continue;
    ++progress.answered;
    if (!is_failure(heard, config_.login.version)) {
      progress.acknowledged[index] = true;
    } else if (!progress.refusal || index < progress.refused) {
      progress.refusal = heard;
      progress.refused = index;
    }
  }
  while (!progress.whole() && progress.acknowledged[progress.confirmed]) ++progress.confirmed;
}

std::string Session::next(const std::vector<Publication>& messages, Progress& progress) const {
  std::string out;
  while (progress.sent < messages.size() && !progress.refusal && out.size() < kPieceBytes &&
         progress.sent - progress.answered < granted_.unacknowledged_max) {
    const Publication& message = messages[progress.sent];
    if (publish_bytes(message) > granted_.packet_bytes_max) {
      progress.refusal = Heard{.type = Heard::Type::PubAck, .reason = kPacketTooLarge};
      progress.refused = progress.sent;
      break;
    }
    mqtt::publish(out, message);
    ++progress.sent;
  }
  return out;
}

// Of one that is over: all that was sent is answered, or the connection has ended.
SendOutcome Session::outcome(Progress& progress) const {
  const bool refused = progress.refusal && progress.confirmed == progress.refused;
  if (refused) {
    return classify(*progress.refusal, config_.login.version, progress.confirmed, config_.url.shown,
                    config_.login.password);
  }
  if (progress.end) return *std::move(progress.end);
  return {Delivered{}, 200, true};
}

Awaitable<SendOutcome> Session::publish(const RecordBatch& batch, Deadline deadline) {
  std::vector<std::string> topics;
  std::vector<Publication> messages;
  topics.reserve(batch.records);
  messages.reserve(batch.records);
  for (const RecordRun& run : batch.runs) {
    for (std::uint32_t i = run.begin; i < run.end; ++i) {
      topics.push_back(config_.topic.fill(*run.chunk, i));
      const auto id = static_cast<std::uint16_t>(topics.size());
      messages.push_back({config_.login.version, topics.back(), id, run.chunk->record(i)});
    }
  }
  Progress progress;
  progress.acknowledged.resize(messages.size());
  in_doubt_ = true;
  while (!progress.end) {
    std::string out = next(messages, progress);
    if (progress.answered == progress.sent && out.empty()) break;
    // While more may be sent, what has come is looked at, not waited for.
    const bool more = progress.sent < messages.size() && !progress.refusal &&
                      progress.sent - progress.answered < granted_.unacknowledged_max;
    if (more) {
      const Result<void> sent = co_await stream_->send(out, deadline);
      take(stream_->received(), progress);
      if (!sent.has_value() && !progress.end) {
        progress.end = broken(sent.error(), progress.confirmed);
      }
      continue;
    }
    const Result<std::string> got = co_await exchange(std::move(out), deadline);
    if (got.has_value()) {
      take(*got, progress);
    } else {
      progress.end = broken(got.error(), progress.confirmed);
    }
  }
  in_doubt_ = progress.end.has_value();
  co_return outcome(progress);
}

}  // namespace sluice::connectors::mqtt
