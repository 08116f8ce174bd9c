#include "egress/exchange.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/units.h"

namespace sluice::egress {
namespace {

constexpr std::chrono::seconds kAfterStatus{1};  // for the answer's headers and body
constexpr std::size_t kHeadBytesUsual = 1024;
constexpr std::uint64_t kBytesATurn = 512 * kKiB;  // then others of the loop have theirs

bool sets(const HttpRequest& request, std::string_view name) {
  return std::any_of(request.headers.begin(), request.headers.end(),
                     [name](const auto& header) { return same_name(header.first, name); });
}

// Feeds what has arrived to the answer. False: nothing more will come.
bool take_in(Connection& connection, AnswerReader& answer, std::span<char> room) {
  while (!answer.complete() && answer.is_http()) {
    const Connection::Received got = connection.receive(room);
    if (got.step == Connection::Step::NotNow) {
      if (answer.begun()) connection.acknowledge();
      return true;
    }
    if (got.step != Connection::Step::Done) return false;
    answer.feed({room.data(), got.bytes});
  }
  return true;
}

Error unavailable(std::string message) { return {ErrorCode::Unavailable, std::move(message)}; }

Error hung_up(const Connection& connection, const Gather& request, const AnswerReader& answer) {
  if (!request.done()) {
    return unavailable(fmt::format("{} hung up while the body was sent ({} of {} bytes)",
                                   connection.peer(), request.body_sent(), request.body_bytes()));
  }
  if (answer.begun() || !connection.fault().empty()) {
    return unavailable(
        fmt::format("the connection to {} broke before the answer", connection.peer()));
  }
  return unavailable(connection.peer() + " hung up without an answer");
}

std::string phase(const Gather& request) {
  if (request.done()) return "waiting for the status line";
  return fmt::format("sending the body ({} of {} bytes)", request.body_sent(),
                     request.body_bytes());
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&lower](char x, char y) { return lower(x) == lower(y); });
}

std::string request_head(const HttpRequest& request, const Url& url,
                         const std::optional<ViaProxy>& via_proxy) {
  std::uint64_t bytes = request.body_source != nullptr ? request.body_source_bytes : 0;
  for (const std::string_view part : request.body) bytes += part.size();
  const bool announced = bytes > 0 || (request.method != "GET" && request.method != "HEAD");

  std::string head;
  head.reserve(kHeadBytesUsual);
  const auto line = [&head](std::string_view name, std::string_view value) {
    head.append(name).append(value.empty() ? ":" : ": ").append(value).append("\r\n");
  };
  head.append(request.method).append(" ");
  if (via_proxy) head.append("http://").append(url.authority);
  head.append(url.target).append(" HTTP/1.1\r\n");
  if (!sets(request, "Host")) line("Host", url.authority);
  if (via_proxy && !via_proxy->authorization.empty()) {
    line("Proxy-Authorization", via_proxy->authorization);
  }
  if (!sets(request, "Accept")) line("Accept", "*/*");
  for (const auto& [name, value] : request.headers) line(name, value);
  if (announced) line("Content-Length", std::to_string(bytes));
  head += "\r\n";
  return head;
}

Awaitable<Result<void>> exchange(Connection& connection, Gather& request, AnswerReader& answer,
                                 Attempt& attempt, std::span<char> room) {
  using Step = Connection::Step;
  bool can_send = true;
  bool more_comes = true;
  bool counted = false;
  while (true) {
    const std::uint64_t turn_ends = request.body_sent() + kBytesATurn;
    while (can_send && !request.done() && answer.status() < 300) {
      if (request.needs_pull()) {
        const Result<void> pulled = co_await request.pull();
        if (!pulled.has_value()) {
          attempt.enter(Stage::Own);
          co_return pulled.error();
        }
      }
      const Step step = connection.send(request);
      if (step == Step::NotNow) break;
      can_send = step == Step::Done;
      if (!request.done() && request.body_sent() >= turn_ends) {
        connection.pause_sending();
        break;
      }
    }
    // What broke the sending may have been preceded by an answer that says why.
    if (connection.readable() || !can_send) more_comes = take_in(connection, answer, room);

    const bool counts = answer.status() >= 300 || (answer.status() != 0 && request.done());
    const bool time_is_up = attempt.expired();
    if (counts && (answer.complete() || !more_comes || time_is_up)) {
      answer.end();
      co_return Result<void>{};
    }
    if (!answer.is_http()) {
      co_return unavailable(connection.peer() + " does not answer in HTTP/1.1");
    }
    if (!more_comes || (!can_send && !counts)) co_return hung_up(connection, request, answer);
    if (time_is_up) co_return attempt.timed_out(phase(request));
    if (counts && !counted) attempt.end_after(kAfterStatus);
    counted = counts;
    const bool go_on = co_await connection.wait(attempt);
    if (!go_on) co_return Attempt::cancelled();
  }
}

}  // namespace sluice::egress
