#include "http/connection.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <string>

#include "base/units.h"
#include "http/answer_head.h"
#include "http/answer_queue.h"
#include "http/body_budget.h"
#include "http/head_parser.h"
#include "http/loop.h"
#include "http/responder_target.h"
#include "http/transport.h"

namespace sluice::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using ParseError = boost::beast::http::error;

constexpr std::size_t kBufferBytes = 4 * kKiB;  // of an idle connection; grows with the header
constexpr std::uint64_t kUnbegunBodyBytesMax = 16 * kKiB;  // larger: see receive_first_bytes()
constexpr std::size_t kFirstBodyBytesMin = 2 * kKiB;
constexpr std::size_t kChunkWindowBytes = 16 * kKiB;       // chunked bodies pass through it
constexpr std::uint64_t kChunkedBodyBytesMin = 16 * kKiB;  // first allocation
// After an early answer the client may still be sending. Closing then would reset the connection
// and could cost it the answer, so this much is read and thrown away.
constexpr std::size_t kDrainReadBytes = 64 * kKiB;
constexpr std::uint64_t kDrainBytesMax = 128 * kMiB;
constexpr std::uint32_t kDrainMsMax = 10'000;
constexpr std::uint32_t kDrainMsMaxStopping = 1'000;
constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();
constexpr std::size_t kPiecesBytesAbout = 64 * kKiB;  // of an answer without end, in one write
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

// What the handler holds of an answer without end.
class QueuedAnswerStream final : public AnswerStream {
 public:
  explicit QueuedAnswerStream(std::shared_ptr<AnswerQueue> queue) : queue_(std::move(queue)) {}
  ~QueuedAnswerStream() override { queue_->finish(); }
  bool write(std::string piece) override { return queue_->write(std::move(piece)); }
  std::uint64_t queued_bytes() const override { return queue_->queued_bytes(); }

 private:
  const std::shared_ptr<AnswerQueue> queue_;
};

// One request at a time: read the header, ask the handler, read the body, hand it over, write the
// answer, again. At most one operation of the socket is under way at any moment, phase_ says which;
// only an answer without end is written while a read looks out for the client's end.
class ClientConnection final : public Connection,
                               public Responder::Target,
                               public BudgetWaiter,
                               public std::enable_shared_from_this<ClientConnection> {
 public:
  ClientConnection(Loop& loop, Socket socket, Listener listener);

  void start() override;
  void sweep(std::uint64_t now_ms) override;
  void stop() override;
  void close() override;
  void answer(std::optional<Response> response) override;
  std::shared_ptr<AnswerStream> answer_in_pieces(Response head) override;
  void on_lease(BodyLease lease) override;

 private:
  enum class Phase : std::uint8_t {
    Handshake,  // of TLS
    Idle,       // no byte of a request yet
    Head,       // reading the header
    Memory,     // waiting for room for the body
    Body,       // reading the body
    Answering,  // the handler has it
    Writing,    // the answer
    Streaming,  // an answer without end
    Draining,   // the rest of a request that was answered early
    Closed,
  };

  void start_request();
  void read_head();
  void on_head_bytes(error_code error, std::size_t bytes);
  void parse_head();
  void on_head_complete();
  void show_head();
  void find_client();

  void receive_first_bytes();
  void read_behind_head(void (ClientConnection::*then)());
  void reserve_body(std::uint64_t bytes);
  void on_body_memory();
  void receive_body();
  bool ask_for_body();
  void read_sized_body();
  void parse_chunks();
  void read_chunks();
  bool body_read_failed(error_code error);
  void deliver();

  void refuse(int status, std::string_view detail);
  void respond(Response response, bool whole_request_read);
  void write_answer();
  void on_written();
  void end_connection();
  void drain();

  void start_streaming(Response head, std::shared_ptr<AnswerQueue> queue);
  void send_pieces();
  void write_pieces();
  void on_pieces_written();
  void end_streaming();
  void watch_client();

  const Limits& limits() const { return loop_.shared().limits; }
  std::uint64_t idle_deadline() const { return loop_.deadline_ms(limits().body_idle_timeout_ms); }
  std::uint64_t body_deadline() const {
    const std::uint64_t earned_ms = body_bytes_ * 1000 / kBodyBytesPerSecondMin;
    return std::min(idle_deadline(), body_began_ms_ + limits().body_idle_timeout_ms + earned_ms);
  }
  bool must_give_way(std::uint64_t now_ms) const;
  void set_buffer(std::size_t bytes);  // keeps what it holds
  std::string_view view(Slice slice) const { return {buffer_.get() + slice.at, slice.size}; }

  Loop& loop_;  // until Closed
  const Executor executor_;
  Transport transport_;
  std::string remote_address_;
  bool from_proxy_ = false;    // a trusted one
  std::string client_behind_;  // what it says
  Phase phase_ = Phase::Idle;
  bool timed_out_ = false;  // the read under way was cancelled
  std::uint64_t deadline_ms_ = kNever;

  // The request's header, behind it what was read along with it, [parsed_, filled_).
  std::unique_ptr<char[]> buffer_;
  std::size_t buffer_bytes_ = 0;
  std::size_t parsed_ = 0;
  std::size_t filled_ = 0;
  std::size_t head_bytes_ = 0;
  ParsedHead parsed_head_;
  std::optional<HeadParser> parser_;
  RequestHead head_;

  BodyLease lease_;
  BodyShare body_share_ = kEveryones;
  std::unique_ptr<char[]> body_;
  std::uint64_t body_bytes_ = 0;
  std::uint64_t body_capacity_ = 0;
  std::uint64_t body_capacity_wanted_ = 0;
  std::uint64_t body_bytes_max_ = 0;
  std::uint64_t body_began_ms_ = 0;  // or went on, after a wait for memory

  std::string answer_head_;
  std::string answer_body_;
  std::size_t written_ = 0;
  bool keep_open_ = false;
  bool whole_request_read_ = false;
  std::uint64_t drained_bytes_ = 0;
  std::uint64_t drain_deadline_ms_ = 0;

  // Of an answer without end.
  std::shared_ptr<AnswerQueue> queue_;
  Framing framing_ = Framing::Chunked;
  std::size_t piece_bytes_ = 0;  // of the queue's, in the write under way
  bool writing_pieces_ = false;
  bool last_pieces_ = false;
  std::atomic<bool> gone_ = false;  // Closed, for other threads
};

ClientConnection::ClientConnection(Loop& loop, Socket socket, Listener listener)
    : loop_(loop),
      executor_(loop.executor()),
      transport_(std::move(socket),
                 listener == Listener::Main ? loop.shared().tls().get() : nullptr) {
  head_.admin = listener == Listener::Admin;
  error_code ignored;
  transport_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  const auto remote = transport_.socket().remote_endpoint(ignored);
  if (ignored) return;
  asio::ip::address address = remote.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {  // on a listener for both
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  remote_address_ = address.to_string();
  from_proxy_ = loop_.shared().trusts(address);
}

void ClientConnection::start() {
  if (!transport_.is_tls()) return start_request();
  phase_ = Phase::Handshake;
  deadline_ms_ = loop_.deadline_ms(limits().header_timeout_ms);
  transport_.async_handshake([self = shared_from_this()](error_code error) {
    if (self->phase_ == Phase::Closed) return;
    if (error) return self->close();
    self->start_request();
  });
}

// --- The header ---

void ClientConnection::start_request() {
  if (loop_.stopping()) return close();
  const std::size_t rest = filled_ - parsed_;  // the next request's, sent without waiting
  if (rest > 0) std::memmove(buffer_.get(), buffer_.get() + parsed_, rest);
  parsed_ = 0;
  filled_ = rest;
  if (rest <= kBufferBytes && buffer_bytes_ != kBufferBytes) set_buffer(kBufferBytes);
  parsed_head_.clear();
  parser_.emplace(parsed_head_, static_cast<std::uint32_t>(limits().header_bytes_max));
  phase_ = Phase::Idle;
  deadline_ms_ = loop_.deadline_ms(limits().keep_alive_timeout_ms);
  parse_head();
}

void ClientConnection::set_buffer(std::size_t bytes) {
  auto larger = std::make_unique_for_overwrite<char[]>(bytes);
  if (filled_ > 0) std::memcpy(larger.get(), buffer_.get(), filled_);
  buffer_ = std::move(larger);
  buffer_bytes_ = bytes;
}

void ClientConnection::read_head() {
  if (filled_ == buffer_bytes_) set_buffer(2 * buffer_bytes_);
  transport_.async_read_some(asio::buffer(buffer_.get() + filled_, buffer_bytes_ - filled_),
                             [self = shared_from_this()](error_code error, std::size_t bytes) {
                               self->on_head_bytes(error, bytes);
                             });
}

void ClientConnection::on_head_bytes(error_code error, std::size_t bytes) {
  if (phase_ == Phase::Closed) return;
  if (timed_out_) return refuse(408, "the request's header took too long to arrive");
  if (error) return close();
  loop_.count_received(bytes);
  filled_ += bytes;
  parse_head();
}

void ClientConnection::parse_head() {
  if (phase_ == Phase::Idle) {
    // Empty lines between requests are tolerated (RFC 9112, 2.2).
    while (parsed_ < filled_ && (buffer_[parsed_] == '\r' || buffer_[parsed_] == '\n')) ++parsed_;
    if (parsed_ == filled_) {
      parsed_ = filled_ = 0;
      return read_head();
    }
    phase_ = Phase::Head;
    deadline_ms_ = loop_.deadline_ms(limits().header_timeout_ms);
  }
  parsed_head_.buffer = buffer_.get();
  parsed_head_.buffer_size = filled_;
  error_code error;
  parsed_ += parser_->put(asio::const_buffer(buffer_.get() + parsed_, filled_ - parsed_), error);
  const bool incomplete = error == ParseError::need_more;
  const std::size_t head_bytes = incomplete ? filled_ + 1 : parsed_;  // at least
  if (error == ParseError::header_limit ||
      ((incomplete || !error) && head_bytes > limits().header_bytes_max)) {
    return refuse(431, "the request's header is longer than " +
                           std::to_string(limits().header_bytes_max) + " bytes or has more than " +
                           std::to_string(ParsedHead::kFieldsMax) + " fields");
  }
  if (incomplete) return read_head();
  if (error) return refuse(400, "the request is not valid HTTP: " + error.message());
  on_head_complete();
}

void ClientConnection::on_head_complete() {
  head_bytes_ = parsed_;
  if (parsed_head_.version > 10 && parsed_head_.hosts != 1) {
    return refuse(400, "an HTTP/1.1 request has exactly one Host header");
  }
  const bool chunked = parser_->chunked();
  // Now, as the handler's views must not move any more.
  if (chunked && buffer_bytes_ < head_bytes_ + kChunkWindowBytes) {
    set_buffer(head_bytes_ + kChunkWindowBytes);
  }
  show_head();
  auto decision = loop_.shared().handler.on_head(head_);
  const bool body_announced = chunked || head_.content_length.value_or(0) > 0;
  if (auto* early = std::get_if<Response>(&decision)) {
    return respond(std::move(*early), !body_announced);
  }
  if (!body_announced) return deliver();

  body_bytes_max_ = std::get<Handler::TakeBody>(decision).bytes_max;
  body_share_ = std::get<Handler::TakeBody>(decision).share;
  parser_->body_limit(body_bytes_max_);
  body_began_ms_ = loop_.deadline_ms(0);
  deadline_ms_ = body_deadline();
  phase_ = Phase::Body;
  if (chunked) return receive_body();
  if (*head_.content_length > body_bytes_max_) {
    return refuse(413, "the body is larger than " + std::to_string(body_bytes_max_) + " bytes");
  }
  receive_first_bytes();
}

void ClientConnection::show_head() {
  head_.method = view(parsed_head_.method);
  std::string_view target = view(parsed_head_.target);
  if (const std::size_t scheme = target.find("://");
      scheme != target.npos && scheme < target.find_first_of("/?")) {  // as sent to a proxy
    target.remove_prefix(std::min(target.find('/', scheme + 3), target.size()));
  }
  const std::size_t mark = target.find('?');
  head_.path = target.substr(0, mark);
  head_.query = mark == target.npos ? std::string_view() : target.substr(mark + 1);
  head_.headers.clear();
  for (const auto& [name, value] : parsed_head_.fields) {
    head_.headers.emplace_back(view(name), view(value));
  }
  const auto length = parser_->content_length();
  head_.content_length = length ? std::optional<std::uint64_t>(*length) : std::nullopt;
  head_.remote_address = remote_address_;
  if (from_proxy_) find_client();
  head_.io_thread = loop_.index();
}

// X-Forwarded-For names client and proxies in the order of travel; what stands before the last hop
// that we trust may be anyone's invention.
void ClientConnection::find_client() {
  for (auto field = head_.headers.rbegin(); field != head_.headers.rend(); ++field) {
    if (!boost::beast::iequals(field->first, "X-Forwarded-For")) continue;
    std::string_view hops = field->second;
    while (!hops.empty()) {
      const std::size_t comma = hops.rfind(',');
      std::string_view hop = comma == hops.npos ? hops : hops.substr(comma + 1);
      hops = comma == hops.npos ? std::string_view() : hops.substr(0, comma);
      hop.remove_prefix(std::min(hop.find_first_not_of(" \t"), hop.size()));
      hop = hop.substr(0, hop.find_last_not_of(" \t") + 1);
      error_code bad;
      const auto address = asio::ip::make_address(std::string(hop), bad);
      if (bad) return;  // the last one that was an address stays
      client_behind_ = address.to_string();
      head_.remote_address = client_behind_;
      if (!loop_.shared().trusts(address)) return;
    }
  }
}

// --- The body ---

// A larger body gets memory once it has begun to come: who stalls behind the header holds none, and
// no place in the queue for it.
void ClientConnection::receive_first_bytes() {
  const std::uint64_t length = *head_.content_length;
  const bool begun = filled_ - parsed_ >= kFirstBodyBytesMin || filled_ == buffer_bytes_;
  if (begun || length <= kUnbegunBodyBytesMax) return reserve_body(length);
  if (ask_for_body()) return;
  read_behind_head(&ClientConnection::receive_first_bytes);
}

// More of the body into the header's buffer.
void ClientConnection::read_behind_head(void (ClientConnection::*then)()) {
  transport_.async_read_some(
      asio::buffer(buffer_.get() + filled_, buffer_bytes_ - filled_),
      [self = shared_from_this(), then](error_code error, std::size_t bytes) {
        if (self->body_read_failed(error)) return;
        self->loop_.count_received(bytes);
        self->filled_ += bytes;
        self->deadline_ms_ = self->body_deadline();
        (*self.*then)();
      });
}

// Goes on with on_body_memory(), at once or when there is room.
void ClientConnection::reserve_body(std::uint64_t bytes) {
  BodyBudget& budget = *loop_.shared().budget;
  const std::uint64_t more = bytes - body_capacity_;
  body_capacity_wanted_ = bytes;
  if (body_capacity_ > 0) {
    if (budget.try_grow(lease_, more, BodyBudget::Within::Share)) return on_body_memory();
    // Two that hold memory may wait for each other: this ends it.
    deadline_ms_ = idle_deadline();
  } else {
    if (auto lease = budget.try_take(more, body_share_)) {
      lease_ = std::move(*lease);
      return on_body_memory();
    }
    deadline_ms_ = kNever;
  }
  phase_ = Phase::Memory;
  budget.wait({.bytes = more,
               .held = body_capacity_,
               .share = body_share_,
               .executor = executor_,
               .waiter = std::weak_ptr<BudgetWaiter>(shared_from_this())});
}

void ClientConnection::on_lease(BodyLease lease) {
  if (phase_ != Phase::Memory) return;
  lease_.add(std::move(lease));
  phase_ = Phase::Body;
  body_began_ms_ = loop_.deadline_ms(0);
  deadline_ms_ = body_deadline();
  on_body_memory();
}

void ClientConnection::on_body_memory() {
  auto body = std::make_unique_for_overwrite<char[]>(body_capacity_wanted_ + Body::kPadding);
  if (body_bytes_ > 0) std::memcpy(body.get(), body_.get(), body_bytes_);
  body_ = std::move(body);
  body_capacity_ = body_capacity_wanted_;
  if (parser_->chunked()) {
    parsed_head_.body = body_.get();
    return parse_chunks();
  }
  body_bytes_ = std::min<std::uint64_t>(filled_ - parsed_, body_capacity_);
  std::memcpy(body_.get(), buffer_.get() + parsed_, body_bytes_);
  parsed_ += body_bytes_;
  receive_body();
}

void ClientConnection::receive_body() {
  if (ask_for_body()) return;
  if (parser_->chunked()) {
    parse_chunks();
  } else {
    read_sized_body();
  }
}

// True: the client waits for a word before it sends the body; it goes on once that is said.
bool ClientConnection::ask_for_body() {
  if (!std::exchange(parsed_head_.expects_continue, false)) return false;
  const bool nothing_came = parsed_ == filled_ && body_bytes_ == 0;
  if (!nothing_came) return false;
  asio::async_write(transport_, asio::buffer(kContinue),
                    [self = shared_from_this()](error_code error, std::size_t) {
                      if (self->phase_ == Phase::Closed) return;
                      if (error) return self->close();
                      const bool sized_without_memory =
                          !self->parser_->chunked() && self->body_capacity_ == 0;
                      if (sized_without_memory) return self->receive_first_bytes();
                      self->receive_body();
                    });
  return true;
}

// True: nothing came, and the request has been dealt with.
bool ClientConnection::body_read_failed(error_code error) {
  if (phase_ == Phase::Closed) return true;
  const bool timed_out = std::exchange(timed_out_, false);
  if (!error) return false;
  if (timed_out) {
    refuse(408, "the rest of the body did not arrive in time");
  } else {
    close();
  }
  return true;
}

// Straight into its final place.
void ClientConnection::read_sized_body() {
  if (body_bytes_ == body_capacity_) return deliver();
  transport_.async_read_some(asio::buffer(body_.get() + body_bytes_, body_capacity_ - body_bytes_),
                             [self = shared_from_this()](error_code error, std::size_t bytes) {
                               if (self->body_read_failed(error)) return;
                               self->loop_.count_received(bytes);
                               self->body_bytes_ += bytes;
                               self->deadline_ms_ = self->body_deadline();
                               self->read_sized_body();
                             });
}

void ClientConnection::parse_chunks() {
  while (!parser_->is_done()) {
    if (parsed_ == filled_) return read_chunks();
    error_code error;
    parsed_ += parser_->put(asio::const_buffer(buffer_.get() + parsed_, filled_ - parsed_), error);
    if (error == ParseError::need_more) return read_chunks();
    if (error == ParseError::body_limit) {
      return refuse(413, "the body is larger than " + std::to_string(body_bytes_max_) + " bytes");
    }
    if (error) return refuse(400, "the chunked body is not valid: " + error.message());
    body_bytes_ = parsed_head_.body_bytes;
    const std::uint64_t announced = parsed_head_.body_bytes_announced;
    if (announced > body_capacity_) {
      // At least doubled, so that small chunks are not copied again and again.
      const std::uint64_t grown = std::max(2 * body_capacity_, kChunkedBodyBytesMin);
      return reserve_body(std::max(announced, std::min(grown, body_bytes_max_)));
    }
  }
  deliver();
}

void ClientConnection::read_chunks() {
  const std::size_t rest = filled_ - parsed_;
  std::memmove(buffer_.get() + head_bytes_, buffer_.get() + parsed_, rest);
  parsed_ = head_bytes_;
  filled_ = head_bytes_ + rest;
  if (filled_ == buffer_bytes_) {
    return refuse(400,
                  "the chunked body is not valid: a chunk's header or the trailer is too long");
  }
  read_behind_head(&ClientConnection::parse_chunks);
}

void ClientConnection::deliver() {
  Body body;
  if (body_ != nullptr) {
    std::memset(body_.get() + body_bytes_, 0, Body::kPadding);
    body = Body(std::move(body_), body_bytes_, std::move(lease_));
  }
  body_bytes_ = body_capacity_ = 0;
  phase_ = Phase::Answering;
  deadline_ms_ = kNever;
  loop_.shared().handler.on_request(head_, std::move(body), Responder(shared_from_this()));
}

// --- The answer ---

void ClientConnection::answer(std::optional<Response> response) {
  asio::dispatch(executor_, [self = shared_from_this(), response = std::move(response)]() mutable {
    if (self->phase_ != Phase::Answering) return;
    if (!response) {
      response = self->loop_.shared().handler.refusal(500, "the request was given up unanswered");
    }
    self->respond(std::move(*response), true);
  });
}

void ClientConnection::refuse(int status, std::string_view detail) {
  timed_out_ = false;
  respond(loop_.shared().handler.refusal(status, detail), false);
}

void ClientConnection::respond(Response response, bool whole_request_read) {
  body_.reset();
  lease_ = {};
  whole_request_read_ = whole_request_read;
  keep_open_ = whole_request_read && !response.close && !loop_.stopping() && parser_->keep_alive();
  const Persistence persistence = !keep_open_                  ? Persistence::Close
                                  : parsed_head_.version == 10 ? Persistence::KeepAlive
                                                               : Persistence::Implied;
  answer_head_.clear();
  append_answer_head(answer_head_, response, persistence);
  answer_body_.clear();
  if (has_body(response.status) && view(parsed_head_.method) != "HEAD") {
    answer_body_ = std::move(response.body);
  }
  written_ = 0;
  loop_.count_answer(response.status);
  phase_ = Phase::Writing;
  deadline_ms_ = idle_deadline();
  write_answer();
}

void ClientConnection::write_answer() {
  const std::size_t of_head = std::min(written_, answer_head_.size());
  const std::array<asio::const_buffer, 2> rest = {
      asio::buffer(answer_head_) + of_head, asio::buffer(answer_body_) + (written_ - of_head)};
  transport_.async_write_some(
      rest, [self = shared_from_this()](error_code error, std::size_t bytes) {
        if (self->phase_ == Phase::Closed) return;
        if (error) return self->close();
        self->written_ += bytes;
        self->deadline_ms_ = self->idle_deadline();
        if (self->written_ < self->answer_head_.size() + self->answer_body_.size()) {
          return self->write_answer();
        }
        if (self->phase_ == Phase::Streaming) return self->on_pieces_written();
        self->on_written();
      });
}

void ClientConnection::on_written() {
  answer_body_ = {};
  if (keep_open_) return start_request();
  if (whole_request_read_ && parsed_ == filled_) return end_connection();
  error_code ignored;
  if (!transport_.is_tls()) transport_.socket().shutdown(Socket::shutdown_send, ignored);
  phase_ = Phase::Draining;
  drain_deadline_ms_ = loop_.deadline_ms(loop_.stopping() ? kDrainMsMaxStopping : kDrainMsMax);
  filled_ = 0;
  if (buffer_bytes_ < kDrainReadBytes) set_buffer(kDrainReadBytes);
  drain();
}

// Nothing is left to say. TLS says so, lest what came look cut off.
void ClientConnection::end_connection() {
  phase_ = Phase::Draining;
  if (!transport_.is_tls()) {
    error_code ignored;
    transport_.socket().shutdown(Socket::shutdown_send, ignored);
    return close();
  }
  deadline_ms_ = drain_deadline_ms_ = loop_.deadline_ms(kDrainMsMaxStopping);
  transport_.async_shutdown([self = shared_from_this()](error_code) { self->close(); });
}

void ClientConnection::drain() {
  deadline_ms_ = std::min(drain_deadline_ms_, idle_deadline());
  transport_.async_read_some(asio::buffer(buffer_.get(), buffer_bytes_),
                             [self = shared_from_this()](error_code error, std::size_t bytes) {
                               if (self->phase_ == Phase::Closed) return;
                               self->drained_bytes_ += bytes;
                               if (error || self->drained_bytes_ > kDrainBytesMax) {
                                 return self->close();
                               }
                               self->drain();
                             });
}

// --- The answer without end ---

std::shared_ptr<AnswerStream> ClientConnection::answer_in_pieces(Response head) {
  if (gone_) return nullptr;
  auto queue = std::make_shared<AnswerQueue>([executor = executor_, weak = weak_from_this()] {
    asio::post(executor, [weak] {
      if (const auto self = weak.lock()) self->send_pieces();
    });
  });
  auto stream = std::make_shared<QueuedAnswerStream>(queue);
  queue->write(std::exchange(head.body, {}));
  // The views of the request stay valid until the loop begins with the answer.
  const bool head_alone = view(parsed_head_.method) == "HEAD";
  asio::dispatch(executor_, [self = shared_from_this(), head = std::move(head),
                             queue = std::move(queue)]() mutable {
    self->start_streaming(std::move(head), std::move(queue));
  });
  return head_alone ? nullptr : stream;
}

void ClientConnection::start_streaming(Response head, std::shared_ptr<AnswerQueue> queue) {
  if (phase_ != Phase::Answering) return queue->abandon();
  queue_ = std::move(queue);
  framing_ = parsed_head_.version > 10 ? Framing::Chunked : Framing::Connection;
  answer_head_.clear();
  append_answer_head(answer_head_, head, Persistence::Close, framing_);
  if (view(parsed_head_.method) == "HEAD") framing_ = Framing::Connection;
  if (loop_.stopping() || view(parsed_head_.method) == "HEAD") queue_->abandon();
  answer_body_.clear();
  loop_.count_answer(head.status);
  loop_.shared().answer_streams_gauge.add(1);
  phase_ = Phase::Streaming;
  piece_bytes_ = 0;
  write_pieces();
  filled_ = parsed_ = 0;  // no further request is read
  watch_client();
}

void ClientConnection::send_pieces() {
  if (phase_ != Phase::Streaming || writing_pieces_) return;
  AnswerQueue::Taken taken = queue_->take(kPiecesBytesAbout);
  last_pieces_ = taken.finished;
  if (taken.bytes.empty() && !taken.finished) {
    deadline_ms_ = kNever;
    return;
  }
  answer_head_.clear();
  piece_bytes_ = taken.bytes.size();
  answer_body_ = std::move(taken.bytes);
  if (framing_ == Framing::Chunked) {
    if (piece_bytes_ > 0) {
      char size[16];
      answer_head_.assign(size, std::to_chars(size, size + sizeof size, piece_bytes_, 16).ptr);
      answer_head_ += "\r\n";
      answer_body_ += "\r\n";
    }
    if (last_pieces_) answer_body_ += "0\r\n\r\n";
  }
  write_pieces();
}

void ClientConnection::write_pieces() {
  writing_pieces_ = true;
  written_ = 0;
  deadline_ms_ = idle_deadline();
  write_answer();
}

void ClientConnection::on_pieces_written() {
  writing_pieces_ = false;
  queue_->sent(piece_bytes_);
  if (!last_pieces_) return send_pieces();
  end_streaming();
  end_connection();
}

void ClientConnection::end_streaming() {
  loop_.shared().answer_streams_gauge.add(-1);
  queue_->abandon();
}

// What the client still sends is thrown away; its end ends the answer.
void ClientConnection::watch_client() {
  transport_.async_read_some(asio::buffer(buffer_.get(), buffer_bytes_),
                             [self = shared_from_this()](error_code error, std::size_t bytes) {
                               if (self->phase_ == Phase::Closed) return;
                               self->drained_bytes_ += bytes;
                               if (error || self->drained_bytes_ > kDrainBytesMax) {
                                 return self->close();
                               }
                               self->watch_client();
                             });
}

// --- The end ---

// It holds memory for bytes that do not come, and others wait for that memory.
bool ClientConnection::must_give_way(std::uint64_t now_ms) const {
  if (phase_ != Phase::Body || body_capacity_ == 0 || deadline_ms_ == kNever) return false;
  const std::uint64_t earlier_ms =
      limits().body_idle_timeout_ms -
      std::min(limits().body_idle_timeout_ms, limits().body_contended_timeout_ms);
  return now_ms + earlier_ms >= deadline_ms_ && loop_.shared().budget->is_short(body_share_);
}

void ClientConnection::sweep(std::uint64_t now_ms) {
  if (now_ms < deadline_ms_ && !must_give_way(now_ms)) return;
  deadline_ms_ = kNever;
  error_code ignored;
  switch (phase_) {
    case Phase::Handshake:
    case Phase::Idle:
    case Phase::Writing:
    case Phase::Streaming:
    case Phase::Draining: return close();
    case Phase::Head:
    case Phase::Body:
      timed_out_ = true;  // the read's handler answers
      transport_.socket().cancel(ignored);
      return;
    case Phase::Memory: return refuse(503, "no memory is left for the rest of the body");
    case Phase::Answering:
    case Phase::Closed: return;
  }
}

void ClientConnection::stop() {
  if (phase_ == Phase::Handshake || phase_ == Phase::Idle || phase_ == Phase::Head) return close();
  if (phase_ == Phase::Draining) {
    drain_deadline_ms_ = std::min(drain_deadline_ms_, loop_.deadline_ms(kDrainMsMaxStopping));
    deadline_ms_ = std::min(deadline_ms_, drain_deadline_ms_);
  }
  if (phase_ == Phase::Streaming) {
    queue_->abandon();
    send_pieces();  // the end, unless a write is under way: then after it
    deadline_ms_ = std::min(deadline_ms_, loop_.deadline_ms(kDrainMsMaxStopping));
  }
}

void ClientConnection::close() {
  if (phase_ == Phase::Closed) return;
  if (phase_ == Phase::Streaming) end_streaming();
  phase_ = Phase::Closed;
  gone_ = true;
  error_code ignored;
  transport_.socket().close(ignored);
  body_.reset();
  lease_ = {};
  loop_.remove(*this);
}

}  // namespace

std::shared_ptr<Connection> make_connection(Loop& loop, Socket socket, Listener listener) {
  return std::make_shared<ClientConnection>(loop, std::move(socket), listener);
}

}  // namespace sluice::http
