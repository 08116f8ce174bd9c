#include "connectors/amqp/session.h"

#include <fmt/format.h>

#include "base/units.h"
#include "connectors/common/failure.h"
#include "connectors/common/kind_word.h"

namespace sluice::connectors::amqp {
namespace {

constexpr std::size_t kPieceBytes = 128 * kKiB;

bool is_end(const Said& said) {
  return said.type == Said::Type::ChannelClose || said.type == Said::Type::ConnectionClose;
}

}  // namespace

SendOutcome Session::broken(const Error& error, std::uint32_t confirmed) const {
  Error shown = error;
  if (!blocked_.empty()) shown.message += ": the broker is blocked: " + excerpt(blocked_, {});
  SendOutcome outcome = failed(shown, Fault::Destination, config_.url.shown);
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
  std::optional<SendOutcome> failure = co_await ask(begin(), Said::Type::Start, deadline);
  if (failure) co_return failure;
  failure = co_await ask(start_ok(config_.username, config_.password), Said::Type::Tune, deadline);
  if (failure) co_return failure;
  failure =
      co_await ask(tune_ok(frame_max_) + amqp::open(config_.vhost), Said::Type::OpenOk, deadline);
  if (failure) co_return failure;
  failure = co_await ask(open_channel(), Said::Type::ChannelOpenOk, deadline);
  if (failure) co_return failure;
  co_return co_await ask(select_confirms(), Said::Type::SelectOk, deadline);
}

Awaitable<std::optional<SendOutcome>> Session::ask(std::string bytes, Said::Type wanted,
                                                   Deadline deadline) {
  const Result<void> sent = co_await stream_->send(bytes, deadline);
  if (!sent.has_value()) co_return broken(sent.error(), 0);
  while (true) {
    while (!said_.empty()) {
      const Said said = std::move(said_.front());
      said_.pop_front();
      if (is_end(said)) co_return classify(said, 0, config_.url.shown, config_.password);
      if (said.type == Said::Type::Tune && said.frame_max != 0) {
        frame_max_ = std::min(frame_max_, std::max(said.frame_max, kFrameBytesMin));
      }
      if (said.type == wanted) co_return std::nullopt;
    }
    const Result<std::string> got = co_await stream_->receive(deadline);
    if (!got.has_value()) co_return broken(got.error(), 0);
    if (got->empty()) co_return broken({ErrorCode::Unavailable, "the broker hung up"}, 0);
    Result<std::vector<Said>> read = reader_.read(*got);
    if (!read.has_value()) co_return broken(read.error(), 0);
    said_.insert(said_.end(), read->begin(), read->end());
  }
}

bool Session::usable() {
  if (in_doubt_) return false;
  Confirms none(published_ + 1, 0);
  const std::string arrived = stream_->received();
  return !take(arrived, none) && !stream_->ended();
}

std::optional<SendOutcome> Session::take(std::string_view bytes, Confirms& confirms) {
  const Result<std::vector<Said>> read = reader_.read(bytes);
  if (!read.has_value()) return broken(read.error(), confirms.confirmed());
  for (const Said& said : *read) {
    switch (said.type) {
      case Said::Type::Ack:
      case Said::Type::Nack: confirms.take(said); break;
      case Said::Type::Blocked: blocked_ = said.text; break;
      case Said::Type::Unblocked: blocked_.clear(); break;
      case Said::Type::Returned:
      case Said::Type::ChannelClose:
      case Said::Type::ConnectionClose:
        return classify(said, confirms.confirmed(), config_.url.shown, config_.password);
      default: break;
    }
  }
  return std::nullopt;
}

Awaitable<std::optional<SendOutcome>> Session::push(const RecordBatch& batch, Confirms& confirms,
                                                    Deadline deadline) {
  std::string out;
  std::uint32_t left = batch.records;
  for (const RecordRun& run : batch.runs) {
    const recordlog::Chunk& chunk = *run.chunk;
    for (std::uint32_t i = run.begin; i < run.end; ++i) {
      const std::string key = config_.routing_key.fill(chunk, i);
      const std::string id = fmt::format("{}-{}-{}", chunk.organisation.value(),
                                         kind_word(chunk.kind), plus(chunk.first, i).value());
      amqp::publish(out, {config_.exchange, key, kind_word(chunk.kind), id, chunk.record(i)},
                    frame_max_);
      --left;
      if (out.size() < kPieceBytes && left > 0) continue;
      const Result<void> sent = co_await stream_->send(out, deadline);
      if (!sent.has_value()) {
        // The broker's last words say why.
        std::optional<SendOutcome> said = take(stream_->received(), confirms);
        if (!said) said = broken(sent.error(), confirms.confirmed());
        co_return said;
      }
      out.clear();
      std::optional<SendOutcome> end = take(stream_->received(), confirms);
      if (end) co_return end;
    }
  }
  co_return std::nullopt;
}

Awaitable<SendOutcome> Session::publish(const RecordBatch& batch, Deadline deadline) {
  Confirms confirms(published_ + 1, batch.records);
  published_ += batch.records;
  in_doubt_ = true;
  std::optional<SendOutcome> end = co_await push(batch, confirms, deadline);
  while (!end && !confirms.settled()) {
    const Result<std::string> got = co_await stream_->receive(deadline);
    if (!got.has_value()) {
      end = broken(got.error(), confirms.confirmed());
    } else if (got->empty()) {
      end = broken({ErrorCode::Unavailable, "the broker hung up"}, confirms.confirmed());
    } else {
      end = take(*got, confirms);
    }
  }
  if (end) co_return *std::move(end);
  in_doubt_ = false;
  const std::uint32_t confirmed = confirms.confirmed();
  if (confirmed == batch.records) co_return SendOutcome{Delivered{}, 200, true};
  std::string reason = fmt::format("{}: the broker did not take record {} of {}", config_.url.shown,
                                   confirmed + 1, batch.records);
  co_return SendOutcome{RetryLater{std::move(reason), {}, confirmed}, 503, true};
}

Awaitable<SendOutcome> Session::find_exchange(Deadline deadline) {
  in_doubt_ = true;
  std::optional<SendOutcome> failure =
      co_await ask(amqp::find_exchange(config_.exchange), Said::Type::ExchangeOk, deadline);
  if (failure) co_return *std::move(failure);
  in_doubt_ = false;
  co_return SendOutcome{Delivered{}, 200, true};
}

}  // namespace sluice::connectors::amqp
