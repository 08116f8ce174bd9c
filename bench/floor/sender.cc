#include "floor/sender.h"

#include <fmt/core.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <thread>

namespace sluice::bench {
namespace {
constexpr double kRetryAfterS = 0.1;
}

Sender::Sender(const std::vector<std::string>& sinks, std::size_t streams_per_sink)
    : wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  for (const std::string& sink : sinks) {
    for (std::size_t i = 0; i < streams_per_sink; ++i) {
      streams_.push_back(std::make_unique<Stream>());
      streams_.back()->url = parse_url(sink);
    }
  }
  poller_.add(wake_, &wake_, EPOLLIN);
}

void Sender::start(FloorLog& log) {
  log_ = &log;
  std::thread([this] { run(); }).detach();
}

void Sender::wake() { eventfd_write(wake_, 1); }

void Sender::run() {
  pthread_setname_np(pthread_self(), "send");
  epoll_event events[64];
  for (;;) {
    const int ready = poller_.wait(events, std::size(events), wait_s());
    for (int i = 0; i < ready; ++i) {
      if (events[i].data.ptr == &wake_) {
        eventfd_t ignored = 0;
        eventfd_read(wake_, &ignored);
        continue;
      }
      auto& stream = *static_cast<Stream*>(events[i].data.ptr);
      if (stream.unsent_at < stream.unsent.size()) send_on(stream);
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_answer(stream);
    }
    for (const auto& stream : streams_) begin(*stream);
    forget_delivered();
  }
}

void Sender::begin(Stream& stream) {
  if (stream.retry_at_s > 0 ? stream.retry_at_s > monotonic_s() : !stream.batch.empty()) return;
  stream.retry_at_s = 0;
  if (stream.batch.empty()) stream.batch = log_->next_batch(stream.cursor);
  if (stream.batch.empty()) return;
  if (stream.fd < 0) {
    stream.fd = connect_to(stream.url);
    if (stream.fd < 0) {
      fail(stream);
      return;
    }
    poller_.add(stream.fd, &stream, EPOLLIN | EPOLLOUT | EPOLLET);
  }
  compose(stream);
  send_on(stream);
}

void Sender::compose(Stream& stream) {
  std::uint64_t bytes = 0;
  std::uint64_t records = 0;
  bool in_memory = true;
  for (const Block& block : stream.batch) {
    bytes += block.bytes;
    records += block.records;
    in_memory = in_memory && block.data != nullptr;
  }
  static char closing_bracket[] = "]";
  stream.head = fmt::format(
      "POST {} HTTP/1.1\r\nHost: {}:{}\r\nContent-Type: application/json\r\n"
      "Content-Length: {}\r\nX-Records: {}\r\n\r\n[",
      stream.url.path, stream.url.host, stream.url.port, bytes + 1, records);
  stream.unsent.clear();
  stream.unsent_at = 0;
  stream.unsent.push_back({stream.head.data(), stream.head.size()});
  if (in_memory) {
    for (const Block& block : stream.batch) {
      stream.unsent.push_back({const_cast<char*>(block.data), block.bytes});
    }
  } else {
    if (!stream.read_back) {
      stream.read_back = std::make_unique_for_overwrite<char[]>(kBatchBytesMax);
    }
    log_->read(stream.batch.front().at, stream.read_back.get(), bytes);
    stream.unsent.push_back({stream.read_back.get(), bytes});
  }
  --stream.unsent.back().iov_len;  // the last comma
  stream.unsent.push_back({closing_bracket, 1});
}

void Sender::send_on(Stream& stream) {
  while (stream.unsent_at < stream.unsent.size()) {
    msghdr message{};
    message.msg_iov = &stream.unsent[stream.unsent_at];
    message.msg_iovlen = std::min<std::size_t>(stream.unsent.size() - stream.unsent_at, IOV_MAX);
    const ssize_t sent = sendmsg(stream.fd, &message, MSG_NOSIGNAL);
    if (sent < 0) return;  // full, or broken: read_answer() sees which
    for (auto left = static_cast<std::size_t>(sent); left > 0;) {
      iovec& first = stream.unsent[stream.unsent_at];
      const std::size_t step = std::min(left, first.iov_len);
      first.iov_base = static_cast<char*>(first.iov_base) + step;
      first.iov_len -= step;
      left -= step;
      if (first.iov_len == 0) ++stream.unsent_at;
    }
  }
}

void Sender::read_answer(Stream& stream) {
  char answer[4096];
  const ssize_t got = recv(stream.fd, answer, sizeof answer, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    fail(stream);
    return;
  }
  stream.answer.append(answer, static_cast<std::size_t>(got));
  const std::optional<Head> head = read_head(stream.answer);
  if (!head || stream.answer.size() < head->bytes + head->content_length) return;
  if (head->status() / 100 != 2) {
    fail(stream);
    return;
  }
  stream.answer.clear();
  stream.cursor += stream.batch.size();
  stream.batch.clear();
  begin(stream);
}

void Sender::fail(Stream& stream) {
  if (stream.fd >= 0) close(stream.fd);
  stream.fd = -1;
  stream.answer.clear();
  stream.unsent.clear();
  stream.unsent_at = 0;
  if (!stream.batch.empty()) stream.retry_at_s = monotonic_s() + kRetryAfterS;
}

void Sender::forget_delivered() {
  std::uint64_t delivered = streams_.front()->cursor;
  for (const auto& stream : streams_) delivered = std::min(delivered, stream->cursor);
  log_->forget_before(delivered);
}

double Sender::wait_s() const {
  double until = -1;
  for (const auto& stream : streams_) {
    if (stream->retry_at_s > 0 && (until < 0 || stream->retry_at_s < until)) {
      until = stream->retry_at_s;
    }
  }
  return until < 0 ? -1 : std::max(0.0, until - monotonic_s());
}

}  // namespace sluice::bench
