#pragma once
// Reads one answer, by Beast's parser.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "egress/http_client.h"

namespace sluice::egress {

// What is cut short stays an answer from its status line on: the status counts, whatever becomes
// of headers and body. 1xx come before the answer and are skipped.
class AnswerReader {
 public:
  enum class To : std::uint8_t { Request, Head, Connect };  // the latter two: no body follows

  AnswerReader(To to, const Clock& clock,
               std::size_t body_bytes_max = HttpRequest{}.answer_bytes_max);
  ~AnswerReader();
  AnswerReader(const AnswerReader&) = delete;
  AnswerReader& operator=(const AnswerReader&) = delete;

  void feed(std::string_view bytes);
  void end();  // nothing more will come, or be waited for

  int status() const { return response_.status; }  // 0: its line has not come yet
  bool begun() const { return begun_; }            // some byte of it has come
  bool complete() const { return complete_; }      // nothing more is wanted
  bool is_http() const { return is_http_; }
  // Complete, not cut short anywhere, and nothing came behind it.
  bool whole() const { return complete_ && !cut_; }
  // The same, and the peer keeps the connection open.
  bool leaves_connection() const;
  HttpResponse take() { return std::move(response_); }

 private:
  struct Parser;

  std::string_view readable(std::string_view bytes) const;
  std::size_t parse(std::string_view bytes);  // returns how many it is done with
  void cut();
  void next_parser();

  const To to_;
  const Clock& clock_;
  const std::size_t body_bytes_max_;
  HttpResponse response_;
  std::unique_ptr<Parser> parser_;
  std::string pending_;  // has come, but cannot be parsed yet
  std::size_t head_bytes_ = 0;
  bool begun_ = false;
  bool complete_ = false;
  bool cut_ = false;
  bool is_http_ = true;
};

}  // namespace sluice::egress
