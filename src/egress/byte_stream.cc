#include "egress/byte_stream.h"

#include <sys/socket.h>

#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <memory>
#include <optional>

#include "base/units.h"
#include "egress/attempt.h"
#include "egress/gather.h"

namespace sluice::egress {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kPieceBytes = 16 * kKiB;
constexpr std::size_t kArrivedBytesMax = kMiB;     // what is kept of a peer that talks while we do
constexpr std::size_t kTurnBytesMax = 256 * kKiB;  // then the loop's others have theirs
constexpr std::chrono::hours kForever{24 * 365};

}  // namespace

ByteStream::ByteStream(asio::io_context& loop, const Clock& clock, ConnectionPool::Place place)
    : loop_(loop), clock_(clock), place_(std::move(place)) {}

ByteStream::~ByteStream() = default;

const std::string& ByteStream::peer() const { return place_.connection->peer(); }

std::optional<int> ByteStream::release() { return place_.connection->release(); }

Error ByteStream::broken() const {
  const std::string& fault = place_.connection->fault();
  return {ErrorCode::Unavailable, peer() + (fault.empty() ? " hung up" : ": " + fault)};
}

void ByteStream::drain() {
  std::array<char, kPieceBytes> room;
  while (!ended_ && !broken_ && arrived_.size() < kArrivedBytesMax) {
    const Connection::Received got = place_.connection->receive(room);
    if (got.step == Connection::Step::NotNow) return;
    ended_ = got.step == Connection::Step::End;
    broken_ = got.step == Connection::Step::Broken;
    arrived_.append(room.data(), got.bytes);
  }
}

Awaitable<Result<void>> ByteStream::send(std::string_view bytes, SteadyTime deadline) {
  Attempt attempt(loop_, clock_, deadline);
  Gather rest(bytes, {});
  while (!rest.done()) {
    const Connection::Step step = place_.connection->send(rest);
    if (step == Connection::Step::Done) continue;
    if (step != Connection::Step::NotNow) co_return broken();
    drain();
    if (ended_ || broken_) co_return broken();
    if (attempt.expired()) co_return attempt.timed_out("sending to " + peer());
    const bool go_on = co_await place_.connection->wait(attempt);
    if (!go_on) co_return Attempt::cancelled();
  }
  co_return Result<void>{};
}

Awaitable<Result<std::string>> ByteStream::receive(SteadyTime deadline) {
  Attempt attempt(loop_, clock_, deadline);
  while (true) {
    drain();
    if (!arrived_.empty() || ended_) co_return std::exchange(arrived_, {});
    if (broken_) co_return broken();
    if (attempt.expired()) co_return attempt.timed_out("waiting for an answer of " + peer());
    const bool go_on = co_await place_.connection->wait(attempt);
    if (!go_on) co_return Attempt::cancelled();
  }
}

std::string ByteStream::received() {
  drain();
  return std::exchange(arrived_, {});
}

// What stands between two waits of relay().
class ByteStream::Relay {
 public:
  Relay(Connection& connection, LocalSocket local)
      : connection_(connection), local_(std::make_shared<Local>(std::move(local))) {}
  ~Relay() {
    local_->wake = nullptr;
    boost::system::error_code ignored;
    local_->socket.close(ignored);
  }

  enum class State : std::uint8_t { Moved, Idle, LocalEnded, Ended, Broken };

  // Moves what can be moved at once.
  State turn() {
    std::size_t moved = 0;
    while (moved < kTurnBytesMax) {
      const std::size_t before = moved;
      if (const State state = outward(moved); state != State::Moved) return state;
      if (const State state = inward(moved); state != State::Moved) return state;
      if (moved == before) return State::Idle;
    }
    return State::Moved;
  }

  void arm(asio::steady_timer& wake) {
    local_->wake = &wake;
    if (outgoing_.empty()) arm(LocalSocket::wait_read, local_->reads);
    if (!incoming_.empty()) arm(LocalSocket::wait_write, local_->writes);
  }

 private:
  // A wait may end after the relay is gone.
  struct Local {
    explicit Local(LocalSocket socket_in) : socket(std::move(socket_in)) {}
    LocalSocket socket;
    asio::steady_timer* wake = nullptr;
    bool reads = false;  // waits under way
    bool writes = false;
  };

  int local() { return local_->socket.native_handle(); }

  State outward(std::size_t& moved) {
    std::array<char, kPieceBytes> room;
    std::string_view bytes = outgoing_;
    if (bytes.empty()) {
      const ssize_t got = ::recv(local(), room.data(), room.size(), MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return State::LocalEnded;
      if (got < 0) return State::Moved;
      bytes = {room.data(), static_cast<std::size_t>(got)};
    }
    Gather rest("", {&bytes, 1});
    while (!rest.done()) {
      const Connection::Step step = connection_.send(rest);
      if (step == Connection::Step::NotNow) break;
      if (step != Connection::Step::Done) return State::Broken;
    }
    moved += rest.body_sent();
    outgoing_ = std::string(bytes.substr(rest.body_sent()));
    return State::Moved;
  }

  State inward(std::size_t& moved) {
    std::array<char, kPieceBytes> room;
    std::string_view bytes = incoming_;
    if (bytes.empty()) {
      const Connection::Received got = connection_.receive(room);
      if (got.step == Connection::Step::NotNow) return State::Moved;
      if (got.step == Connection::Step::End) return State::Ended;
      if (got.step == Connection::Step::Broken) return State::Broken;
      bytes = {room.data(), got.bytes};
    }
    const ssize_t sent = ::send(local(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return State::LocalEnded;
    const std::size_t taken = sent < 0 ? 0 : static_cast<std::size_t>(sent);
    moved += taken;
    incoming_ = std::string(bytes.substr(taken));
    return State::Moved;
  }

  void arm(LocalSocket::wait_type side, bool& waiting) {
    if (waiting) return;
    waiting = true;
    local_->socket.async_wait(side, [local = local_, &waiting](boost::system::error_code ec) {
      waiting = false;  // of `local`
      if (!ec && local->wake != nullptr) local->wake->cancel();
    });
  }

  Connection& connection_;
  const std::shared_ptr<Local> local_;
  std::string outgoing_;  // did not fit yet
  std::string incoming_;
};

Awaitable<Result<void>> ByteStream::relay(LocalSocket local) {
  Attempt attempt(loop_, clock_, clock_.steady() + kForever);
  Relay relay(*place_.connection, std::move(local));
  while (true) {
    const Relay::State state = relay.turn();
    if (state == Relay::State::LocalEnded) co_return Result<void>{};
    if (state == Relay::State::Ended || state == Relay::State::Broken) co_return broken();
    if (state == Relay::State::Moved) {
      co_await asio::post(loop_, asio::use_awaitable);
      continue;
    }
    relay.arm(attempt.wake());
    const bool go_on = co_await place_.connection->wait(attempt);
    if (!go_on) co_return Attempt::cancelled();
  }
}

}  // namespace sluice::egress
