#include "egress/answer.h"

#include <gtest/gtest.h>

namespace sluice::egress {
namespace {

using To = AnswerReader::To;
using namespace std::chrono_literals;

struct Read {
  HttpResponse response;
  int status = 0;
  bool http = true;
  bool complete = false;
  bool leaves_connection = false;
};

// `step` bytes at a time; then the end, if the answer wants it.
Read read(std::string_view bytes, std::size_t step, To to = To::Request) {
  static const SystemClock clock;
  AnswerReader reader(to, clock);
  for (std::size_t at = 0; at < bytes.size(); at += step) reader.feed(bytes.substr(at, step));
  Read result;
  result.complete = reader.complete();
  reader.end();
  result.status = reader.status();
  result.http = reader.is_http();
  result.leaves_connection = reader.leaves_connection();
  result.response = reader.take();
  return result;
}

Read read(std::string_view bytes, To to = To::Request) { return read(bytes, bytes.size(), to); }

TEST(AnswerReader, ReadsTheSameHoweverItArrives) {
  const std::string_view bytes =
      "HTTP/1.1 100 Continue\r\nRetry-After: 9\r\n\r\n"
      "HTTP/1.1 429 Slow down\r\nRetry-After: 3\r\nX-A:  b \r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nab\r\nc\r\n3;x=y\r\n...\r\n0\r\nRetry-After: 8\r\n\r\n";
  for (std::size_t step = 1; step <= bytes.size(); ++step) {
    SCOPED_TRACE(step);
    const Read got = read(bytes, step);
    EXPECT_EQ(got.status, 429);
    EXPECT_TRUE(got.complete);
    EXPECT_TRUE(got.leaves_connection);
    EXPECT_EQ(got.response.body, "ab\r\nc...");
    EXPECT_EQ(got.response.retry_after, 3s);
    ASSERT_EQ(got.response.headers.size(), 3u);
    EXPECT_EQ(got.response.headers[1], (std::pair<std::string, std::string>{"X-A", "b"}));
  }
}

TEST(AnswerReader, WhateverCutsItTheStatusStands) {
  const std::string_view bytes =
      "HTTP/1.1 503 No\r\nX-A: b\r\nRetry-After: 3\r\nContent-Length: 4\r\n\r\nbody";
  const std::size_t status_line = bytes.find('\n') + 1;
  const std::size_t retry_after = bytes.find("Content-Length");
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    for (const std::size_t step : {cut, std::size_t{1}}) {
      SCOPED_TRACE(cut);
      const Read got = read(bytes.substr(0, cut), step);
      EXPECT_EQ(got.status, cut >= status_line ? 503 : 0);
      EXPECT_EQ(got.response.retry_after.has_value(), cut >= retry_after);
      EXPECT_FALSE(got.complete);
      EXPECT_FALSE(got.leaves_connection);
    }
  }
  EXPECT_EQ(read("HTTP/1.1 503 No\r\nContent-Length: x\r\n\r\n").status, 503);
  EXPECT_EQ(read("HTTP/1.1 503 No\r\nnonsense\r\n\r\n").status, 503);
}

TEST(AnswerReader, KnowsWhereTheAnswerEnds) {
  struct Row {
    std::string_view bytes;
    To to;
    bool complete;
    bool leaves_connection;
  };
  const Row rows[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", To::Request, true, true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!", To::Request, true, false},
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", To::Request, false, false},
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", To::Request, true,
       false},
      {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", To::Request, true, false},
      {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", To::Request,
       true, true},
      {"HTTP/1.1 200 OK\r\n\r\nuntil the end", To::Request, false, false},
      {"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n", To::Request, true, true},
      {"HTTP/1.1 304 No\r\n\r\n", To::Request, true, true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", To::Head, true, true},
      {"HTTP/1.0 200 Established\r\n\r\n", To::Connect, true, false},
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       To::Request, true, false},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.bytes);
    const Read got = read(row.bytes, row.to);
    EXPECT_EQ(got.status / 100 == 2 || got.status == 304, true);
    EXPECT_EQ(got.complete, row.complete);
    EXPECT_EQ(got.leaves_connection, row.leaves_connection);
  }
  EXPECT_EQ(read(rows[6].bytes).response.body, "until the end");
}

TEST(AnswerReader, TakesAStatusLineWithoutReasonOrBlank) {
  for (const std::size_t step : {100u, 1u}) {
    const Read got = read("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", step);
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.response.body, "ok");
    EXPECT_TRUE(got.leaves_connection);
  }
}

TEST(AnswerReader, RefusesWhatIsNotHttp) {
  for (const std::string_view bytes : {"220 smtp.example ESMTP\r\n", "HTTP/2 200\r\n\r\n",
                                       "HTTP/1.1 2000 OK\r\n\r\n", "\r\n", "HTTP/1\r\n"}) {
    EXPECT_FALSE(read(bytes).http) << bytes;
    EXPECT_EQ(read(bytes).status, 0);
  }
  EXPECT_FALSE(read(std::string(70'000, 'x')).http);
}

TEST(AnswerReader, HoldsNoMoreThanItsBounds) {
  const Read body =
      read("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + std::string(70'000, 'y'));
  EXPECT_TRUE(body.complete);
  EXPECT_FALSE(body.leaves_connection);
  EXPECT_EQ(body.response.body.size(), 64u * 1024);

  std::string flood = "HTTP/1.1 200 OK\r\n";
  while (flood.size() < 100'000) flood += "X-Flood: " + std::string(100, 'f') + "\r\n";
  for (const std::size_t step : {std::size_t{1000}, flood.size()}) {
    EXPECT_TRUE(read(flood, step).complete);
    EXPECT_EQ(read(flood, step).status, 200);
  }
  std::string hints;
  while (hints.size() < 100'000) hints += "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
  EXPECT_FALSE(read(hints, 1000).http);
}

}  // namespace
}  // namespace sluice::egress
