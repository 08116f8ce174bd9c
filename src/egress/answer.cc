#include "egress/answer.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include "base/units.h"
#include "egress/retry_after.h"

namespace sluice::egress {
namespace {

namespace http = boost::beast::http;

constexpr std::size_t kHeadBytesMax = 64 * kKiB;
constexpr std::size_t kBareStatusLineBytes = std::string_view("HTTP/1.1 200").size();

}  // namespace

struct AnswerReader::Parser final : http::basic_parser<false> {
  using error_code = boost::beast::error_code;
  using string_view = boost::beast::string_view;
  using verb = http::verb;

  Parser(HttpResponse& response_in, const Clock& clock_in, bool bodyless, std::size_t body_max)
      : response(response_in), clock(clock_in), body_bytes_max(body_max) {
    header_limit(kHeadBytesMax);
    body_limit(boost::none);  // take_body() keeps it small
    eager(true);
    skip(bodyless);
  }

  bool informational() const { return got_some() && final_status == 0; }
  std::size_t take_body(string_view bytes) {
    const std::size_t room = body_bytes_max - response.body.size();
    response.body.append(bytes.data(), std::min(bytes.size(), room));
    body_full = bytes.size() > room;
    return bytes.size();
  }

  void on_request_impl(verb, string_view, string_view, int, error_code&) override {}
  void on_response_impl(int status, string_view, int, error_code&) override {
    if (status >= 200) final_status = response.status = status;
  }
  void on_field_impl(http::field name, string_view name_text, string_view value,
                     error_code&) override {
    if (final_status == 0 || is_header_done()) return;  // of a 1xx, or a trailer
    const std::string_view text(value.data(), value.size());
    if (name == http::field::retry_after) {
      response.retry_after = parse_retry_after(text, clock.now());
    }
    response.headers.emplace_back(std::string_view(name_text.data(), name_text.size()), text);
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(string_view bytes, error_code&) override { return take_body(bytes); }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view bytes, error_code&) override {
    return take_body(bytes);
  }
  void on_finish_impl(error_code&) override {}

  HttpResponse& response;
  const Clock& clock;
  const std::size_t body_bytes_max;
  int final_status = 0;
  bool body_full = false;
};

AnswerReader::AnswerReader(To to, const Clock& clock, std::size_t body_bytes_max)
    : to_(to), clock_(clock), body_bytes_max_(body_bytes_max) {
  next_parser();
}

AnswerReader::~AnswerReader() = default;

void AnswerReader::next_parser() {
  parser_ = std::make_unique<Parser>(response_, clock_, to_ != To::Request, body_bytes_max_);
}

void AnswerReader::feed(std::string_view bytes) {
  begun_ = begun_ || !bytes.empty();
  if (!is_http_) return;
  if (complete_) {
    cut_ = cut_ || !bytes.empty();  // what is this? The connection is not to be trusted
    return;
  }
  if (pending_.empty()) {
    pending_ = bytes.substr(parse(bytes));
  } else {
    pending_ += bytes;
    pending_.erase(0, parse(pending_));
  }
  if (complete_ && !pending_.empty()) cut_ = true;
  if (!complete_ && pending_.size() > kHeadBytesMax) cut();
}

// What of `bytes` the parser may see. Of a head that has not come whole, whole lines and the byte
// behind them: Beast, when it has seen half a line, puts off everything until the end of the head.
std::string_view AnswerReader::readable(std::string_view bytes) const {
  if (parser_->is_header_done()) return bytes;
  if (!parser_->got_some()) {
    const std::size_t line_end = bytes.find("\r\n");
    return bytes.substr(0, line_end == bytes.npos ? 0 : line_end + 2);
  }
  if (bytes.starts_with("\r\n") || bytes.find("\r\n\r\n") != bytes.npos) return bytes;
  const std::size_t line_end =
      bytes.size() < 3 ? bytes.npos : bytes.rfind("\r\n", bytes.size() - 3);
  return bytes.substr(0, line_end == bytes.npos ? 0 : line_end + 3);
}

std::size_t AnswerReader::parse(std::string_view bytes) {
  const std::size_t size = bytes.size();
  while (!bytes.empty() && !complete_ && is_http_) {
    const std::string_view now = readable(bytes);
    if (now.empty()) break;
    const bool first_line = !parser_->got_some();
    boost::beast::error_code ec;
    std::size_t used = 0;
    if (first_line && now.size() == kBareStatusLineBytes + 2) {
      // Many a home-made server leaves out the blank before an empty reason.
      const std::string line = std::string(now.substr(0, kBareStatusLineBytes)) + " \r\n";
      parser_->put(boost::asio::buffer(line), ec);
      used = now.size();
    } else {
      used = parser_->put(boost::asio::buffer(now), ec);
    }
    bytes.remove_prefix(used);
    if (!parser_->is_header_done() || parser_->informational()) head_bytes_ += used;
    const bool bad = (ec && ec != http::error::need_more) || (first_line && used == 0);
    if (bad || parser_->body_full || head_bytes_ > kHeadBytesMax) {
      cut();
    } else if (parser_->is_done() && parser_->informational()) {
      next_parser();
    } else if (parser_->is_done()) {
      complete_ = true;
    } else if (used == 0) {
      break;
    }
  }
  return size - bytes.size();
}

void AnswerReader::cut() {
  cut_ = true;
  if (status() == 0) {
    is_http_ = false;
  } else {
    complete_ = true;
  }
}

void AnswerReader::end() {
  if (complete_ || !is_http_ || status() == 0) return;
  boost::beast::error_code ignored;
  if (parser_->is_header_done()) {
    parser_->put_eof(ignored);
  } else {  // the headers that came whole still count
    pending_.resize(pending_.rfind("\r\n") == pending_.npos ? 0 : pending_.rfind("\r\n") + 2);
    pending_ += "\r\n";
    parser_->put(boost::asio::buffer(pending_), ignored);
  }
  pending_.clear();
  cut();
}

bool AnswerReader::leaves_connection() const {
  return whole() && parser_->keep_alive() && !parser_->need_eof();
}

}  // namespace sluice::egress
