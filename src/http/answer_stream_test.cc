// Answers without end: how their pieces travel, and how they end.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <sstream>

#include "http/server_fixture.h"

namespace sluice::http {
namespace {

using Stream = std::shared_ptr<AnswerStream>;

class AnswerStreams : public ServerTest {
 protected:
  AnswerStreams() {
    handler_.answer = [this](const RequestHead&, Body, Responder responder) {
      streams_.put(std::move(responder).stream(
          {.content_type = "text/event-stream", .body = ": hello\n\n"}));
    };
  }
  template <class Condition>
  bool becomes(Condition condition) {
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > patience) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
  Mailbox<Stream> streams_;
};

TEST_F(AnswerStreams, PiecesComeAsChunksUntilTheWriterLetsGo) {
  serve();
  RawClient c = client();
  const auto head = c.ask(get("/"));
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 200);
  EXPECT_EQ(head->headers.at("Content-Type"), "text/event-stream");
  EXPECT_EQ(head->headers.at("Transfer-Encoding"), "chunked");
  EXPECT_EQ(head->headers.at("Connection"), "close");
  EXPECT_EQ(head->headers.count("Content-Length"), 0u);
  EXPECT_EQ(c.read_chunk(), ": hello\n\n");

  Stream stream = streams_.take();
  for (int i = 0; i < 100; ++i) {
    const std::string piece = fmt::format("data: {}\n\n", i);
    EXPECT_TRUE(stream->write(piece));
    EXPECT_TRUE(stream->write(""));  // no chunk: an empty one would be the last
    EXPECT_EQ(c.read_chunk(), piece);
  }
  EXPECT_TRUE(metric_becomes("sluice_http_answer_streams", 1));
  EXPECT_TRUE(stream->write("the last words"));
  stream.reset();
  EXPECT_EQ(c.read_chunk(), "the last words");
  EXPECT_EQ(c.read_chunk(), "");
  EXPECT_TRUE(c.closed_without_more());
  EXPECT_TRUE(metric_becomes("sluice_http_connections", 0));
  EXPECT_TRUE(metric_becomes("sluice_http_answer_streams", 0));
  EXPECT_TRUE(metric_becomes("sluice_http_requests_total{status_class=\"2xx\"}", 1));
}

TEST_F(AnswerStreams, OldClientsGetThePiecesAsTheyAre) {
  serve();
  RawClient c = client();
  const auto head = c.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->headers.at("Connection"), "close");
  EXPECT_EQ(head->headers.count("Transfer-Encoding"), 0u);
  Stream stream = streams_.take();
  EXPECT_TRUE(stream->write("data: 1\n\n"));
  stream.reset();
  EXPECT_EQ(c.read_to_end(), ": hello\n\ndata: 1\n\n");
}

TEST_F(AnswerStreams, WhoAsksForTheHeadGetsNoMore) {
  serve();
  for (const char* version : {"1.1", "1.0"}) {
    RawClient c = client();
    const auto head = c.ask(fmt::format("HEAD / HTTP/{}\r\nHost: t\r\n\r\n", version));
    ASSERT_TRUE(head);
    EXPECT_EQ(head->headers.at("Content-Type"), "text/event-stream");
    EXPECT_TRUE(c.closed_without_more());
    EXPECT_EQ(streams_.take(), nullptr);
  }
}

TEST_F(AnswerStreams, ManyWritersLoseNothingAndKeepTheirOrder) {
  serve();
  RawClient c = client();
  ASSERT_TRUE(c.ask("GET / HTTP/1.0\r\n\r\n"));
  constexpr int kWriters = 4;
  constexpr int kPieces = 5000;
  std::vector<std::thread> writers;
  {
    const Stream stream = streams_.take();
    for (int w = 0; w < kWriters; ++w) {
      writers.emplace_back([stream, w] {
        for (int i = 0; i < kPieces; ++i) stream->write(fmt::format("{} {}\n", w, i));
      });
    }
  }
  std::istringstream text(c.read_to_end());
  for (auto& writer : writers) writer.join();
  std::string line;
  std::getline(text, line);
  std::getline(text, line);
  std::array<int, kWriters> next{};
  for (std::size_t w, i; text >> w >> i;) ASSERT_EQ(static_cast<int>(i), next.at(w)++);
  for (int w = 0; w < kWriters; ++w) EXPECT_EQ(next.at(static_cast<std::size_t>(w)), kPieces);
}

TEST_F(AnswerStreams, QueuedBytesShowASlowClient) {
  serve();
  RawClient c(server_->port(), 4096);
  ASSERT_TRUE(c.ask(get("/")));
  Stream stream = streams_.take();
  std::uint64_t written = 9;
  // More than the kernel's buffers hold.
  while (stream->queued_bytes() < (8u << 20)) {
    ASSERT_TRUE(stream->write(std::string(100'000, 'x')));
    written += 100'000;
  }
  std::uint64_t read = 0;
  while (read < written) {
    const auto chunk = c.read_chunk();
    ASSERT_TRUE(chunk);
    read += chunk->size();
  }
  EXPECT_TRUE(becomes([&] { return stream->queued_bytes() == 0; }));
  stream.reset();
  EXPECT_EQ(c.read_chunk(), "");
}

TEST_F(AnswerStreams, AVanishedClientIsNoticedWithoutAWrite) {
  serve();
  for (const bool reset : {false, true}) {
    RawClient c = client();
    ASSERT_TRUE(c.ask(get("/")));
    const Stream stream = streams_.take();
    EXPECT_TRUE(stream->write(""));
    if (reset) {
      c.reset();
    } else {
      c.close();
    }
    EXPECT_TRUE(metric_becomes("sluice_http_connections", 0));
    EXPECT_FALSE(stream->write("to nobody"));
    EXPECT_TRUE(metric_becomes("sluice_http_answer_streams", 0));
  }
}

TEST_F(AnswerStreams, WhatTheClientStillSendsIsNotARequest) {
  serve();
  RawClient c = client();
  ASSERT_TRUE(c.ask(get("/") + get("/again")));
  EXPECT_EQ(c.read_chunk(), ": hello\n\n");
  Stream stream = streams_.take();
  ASSERT_TRUE(c.send(get("/more")));
  EXPECT_TRUE(stream->write("piece"));
  EXPECT_EQ(c.read_chunk(), "piece");
  stream.reset();
  EXPECT_EQ(c.read_chunk(), "");
  EXPECT_EQ(streams_.size(), 0u);
}

TEST_F(AnswerStreams, WhoTakesNothingIsCutOffAndWhoIsToldNothingIsNot) {
  serve({.body_idle_timeout_ms = 50});
  RawClient idle = client();
  ASSERT_TRUE(idle.ask(get("/")));
  EXPECT_EQ(idle.read_chunk(), ": hello\n\n");
  const Stream quiet = streams_.take();

  RawClient stuck(server_->port(), 4096);
  ASSERT_TRUE(stuck.ask(get("/")));
  const Stream stream = streams_.take();
  EXPECT_TRUE(becomes([&] {
    return !stream->write(stream->queued_bytes() < (8u << 20) ? std::string(1'000'000, 'x') : "");
  }));

  EXPECT_TRUE(quiet->write("still here"));
  EXPECT_EQ(idle.read_chunk(), "still here");
}

TEST_F(AnswerStreams, StopEndsThemAtOnce) {
  serve();
  RawClient c = client();
  ASSERT_TRUE(c.ask(get("/")));
  EXPECT_EQ(c.read_chunk(), ": hello\n\n");
  const Stream stream = streams_.take();
  server_->stop(3'600'000);  // long before that
  EXPECT_FALSE(stream->write("too late"));
  EXPECT_EQ(c.read_chunk(), "");
  EXPECT_TRUE(c.closed_without_more());
}

TEST_F(AnswerStreams, StopDoesNotWaitForOneThatTakesNothing) {
  serve();
  RawClient c(server_->port(), 4096);
  ASSERT_TRUE(c.ask(get("/")));
  const Stream stream = streams_.take();
  while (stream->queued_bytes() < (8u << 20)) {
    ASSERT_TRUE(stream->write(std::string(1'000'000, 'x')));
  }
  server_->stop(3'600'000);
  EXPECT_FALSE(stream->write("too late"));
  c.read_to_end();
  EXPECT_FALSE(c.timed_out());
}

TEST_F(AnswerStreams, OneBegunWhileStoppingEndsAtOnce) {
  Mailbox<Responder> held;
  handler_.answer = [&](const RequestHead&, Body, Responder responder) {
    held.put(std::move(responder));
  };
  serve({}, 1);
  RawClient c = client();
  ASSERT_TRUE(c.send(get("/")));
  Responder responder = held.take();
  RawClient idle = client();
  std::thread stopping([this] { server_->stop(3'600'000); });
  EXPECT_TRUE(idle.closed_without_more());  // the stop has begun
  const Stream stream = std::move(responder).stream({.body = "first"});
  stopping.join();
  const auto head = c.read_answer();
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 200);
  EXPECT_EQ(c.read_chunk(), "");
  EXPECT_FALSE(stream->write("late"));
}

TEST_F(AnswerStreams, OutliveTheServerAndItsThreads) {
  Mailbox<Responder> held;
  handler_.answer = [&](const RequestHead&, Body, Responder responder) {
    held.put(std::move(responder));
  };
  serve();
  RawClient streaming = client();
  RawClient unanswered = client();
  ASSERT_TRUE(streaming.send(get("/")));
  Stream stream = held.take().stream({.body = "first"});
  EXPECT_TRUE(streaming.read_answer());
  ASSERT_TRUE(unanswered.send(get("/")));
  Responder responder = held.take();
  server_->stop(0);
  EXPECT_EQ(std::move(responder).stream({}), nullptr);
  threads_->stop_and_join();
  server_.reset();
  EXPECT_FALSE(stream->write("to nobody"));
  stream.reset();
}

}  // namespace
}  // namespace sluice::http
