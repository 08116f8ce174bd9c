// What happens when a client, or all of them together, go beyond a limit.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>

#include "http/server_fixture.h"

namespace sluice::http {
namespace {

using namespace std::string_literals;

class ServerLimits : public ServerTest {
 protected:
  // Leaves the bodies to the test, which answers when it likes.
  void hold_bodies() {
    handler_.answer = [this](const RequestHead&, Body body, Responder responder) {
      held_.put({std::move(body), std::move(responder)});
    };
  }

  using Held = std::pair<Body, Responder>;
  Mailbox<Held> held_;
};

const char* const kChunkedHead = "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST_F(ServerLimits, LongHeaderIsRefused) {
  serve({.header_bytes_max = 10'000});
  const auto of_size = [](std::size_t bytes) {
    std::string request = "GET / HTTP/1.1\r\nHost: t\r\nX: ";
    request.append(bytes - request.size() - 4, 'x');
    return request + "\r\n\r\n";
  };
  EXPECT_EQ(client().ask(of_size(10'000))->status, 200);
  for (const std::string& request :
       {of_size(10'001), of_size(1'000'000), std::string(20'000, 'x'),
        "GET /" + std::string(20'000, 'x'), std::string(3'000'000, 'A')}) {
    RawClient c = client();
    std::thread sender([&] { c.send(request); });
    const auto answer = c.read_answer();
    sender.join();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 431);
    EXPECT_TRUE(c.closed_without_more());
  }
}

TEST_F(ServerLimits, ManyFieldsAreRefused) {
  serve();
  const auto with_fields = [](int fields) {
    std::string request = "GET / HTTP/1.1\r\nHost: t\r\n";
    for (int i = 1; i < fields; ++i) request += "a: b\r\n";
    return request + "\r\n";
  };
  EXPECT_EQ(client().ask(with_fields(256))->status, 200);
  EXPECT_EQ(client().ask(with_fields(257))->status, 431);
}

// The header grows the buffer while its first fields have been parsed already.
TEST_F(ServerLimits, HeaderThatGrowsTheBufferIsReadRight) {
  handler_.answer = [](const RequestHead& head, Body, Responder responder) {
    std::string text(head.path);
    for (const auto& [name, value] : head.headers) text.append(name).append(value);
    std::move(responder).send({.body = std::move(text)});
  };
  serve();
  std::string request = "GET /path HTTP/1.1\r\nHost: t\r\n";
  std::string expected = "/pathHostt";
  for (int i = 0; i < 200; ++i) {
    request += fmt::format("N{}: {}\r\n", i, std::string(100, static_cast<char>('a' + i % 26)));
    expected += fmt::format("N{}{}", i, std::string(100, static_cast<char>('a' + i % 26)));
  }
  RawClient c = client();
  c.send_bytewise(request + "\r\n");
  EXPECT_EQ(c.read_answer()->body, expected);
}

TEST_F(ServerLimits, TooLargeABodyGetsAReadableAnswer) {
  hold_bodies();
  serve();
  const std::string body(70'000'000, 'x');
  RawClient c = client();
  c.send(post("/", body));  // all of it before looking for the answer
  const auto answer = c.read_answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 413);
  EXPECT_EQ(answer->headers.at("Connection"), "close");
  EXPECT_TRUE(c.closed_without_more());
  EXPECT_EQ(held_.size(), 0u);
}

TEST_F(ServerLimits, ChunkedBodyIsRefusedWhenItCrossesTheLimit) {
  handler_.body_bytes_max = 100'000;
  serve();
  RawClient fits = client();
  const std::string half = fmt::format("{:x}\r\n{}\r\n", 50'000, std::string(50'000, 'h'));
  EXPECT_EQ(fits.ask(kChunkedHead + half + half + "0\r\n\r\n")->body.size(), 100'000 + 8u);

  RawClient crosses = client();
  std::thread sender([&] { crosses.send(kChunkedHead + half + half + "1\r\n"); });
  const auto answer = crosses.read_answer();  // long before the last chunk
  sender.join();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 413);
}

TEST_F(ServerLimits, SlowHeaderIsTimedOut) {
  serve({.header_timeout_ms = 50});
  for (const char* start : {"G", "GET / HTTP/1.1\r\nHost: t\r\nX: "}) {
    RawClient c = client();
    ASSERT_TRUE(c.send(start));
    const auto answer = c.read_answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 408);
    EXPECT_TRUE(c.closed_without_more());
  }
}

// A byte now and then does not buy time.
TEST_F(ServerLimits, DrippingHeaderIsTimedOut) {
  serve({.header_timeout_ms = 100});
  RawClient c = client();
  ASSERT_TRUE(c.send("GET / HTTP/1.1\r\nHost: t\r\nX: "));
  std::atomic<bool> answered = false;
  std::thread dripper([&] {
    while (!answered && c.send("x")) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  });
  const auto answer = c.read_answer();
  answered = true;
  dripper.join();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 408);
}

TEST_F(ServerLimits, StalledBodyIsTimedOut) {
  serve({.body_idle_timeout_ms = 50});
  for (const std::string& start : {"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n"s,
                                   "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhell"s,
                                   std::string(kChunkedHead), kChunkedHead + "5\r\nhell"s}) {
    RawClient c = client();
    ASSERT_TRUE(c.send(start));
    const auto answer = c.read_answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 408);
    EXPECT_TRUE(c.closed_without_more());
  }
}

// A byte now and then keeps the idle time-out away, but is no body.
TEST_F(ServerLimits, DrippingBodyIsTimedOut) {
  serve({.body_idle_timeout_ms = 200});
  const std::string heads[] = {post("/", std::string(100'000, 'x')).substr(0, 60), kChunkedHead};
  for (const std::string& head : heads) {
    RawClient c = client();
    ASSERT_TRUE(c.send(head));
    std::atomic<bool> answered = false;
    std::thread dripper([&] {  // 100 bytes a second
      const std::string drop = head == kChunkedHead ? "1\r\nx\r\n" : "x";
      while (!answered && c.send(drop)) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    });
    const auto answer = c.read_answer();
    answered = true;
    dripper.join();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 408);
  }
}

// Slower than the idle time-out allows for all of it, but steady.
TEST_F(ServerLimits, SlowHonestBodyArrives) {
  serve({.body_idle_timeout_ms = 1500});
  RawClient c = client();
  const std::string body(35 * 512, 'x');
  const std::string request = post("/", body);
  ASSERT_TRUE(c.send(std::string_view(request).substr(0, request.size() - body.size())));
  for (int i = 0; i < 35; ++i) {  // 10 kB/s
    ASSERT_TRUE(c.send(std::string(512, 'x')));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(c.read_answer()->status, 200);
}

TEST_F(ServerLimits, IdleConnectionIsClosedWithoutAWord) {
  serve({.keep_alive_timeout_ms = 1000});
  RawClient fresh = client();
  EXPECT_TRUE(fresh.closed_without_more());
  RawClient used = client();
  EXPECT_EQ(used.ask(get("/"))->status, 200);
  EXPECT_TRUE(used.closed_without_more());
  EXPECT_TRUE(metric_becomes("sluice_http_connections", 0));
}

TEST_F(ServerLimits, WhoDoesNotReadTheAnswerIsCutOff) {
  handler_.answer = [](const RequestHead&, Body, Responder responder) {
    std::move(responder).send({.body = std::string(64 << 20, 'a')});
  };
  serve({.body_idle_timeout_ms = 50});
  RawClient c = client();
  ASSERT_TRUE(c.send(get("/")));
  EXPECT_TRUE(metric_becomes("sluice_http_requests_total{status_class=\"2xx\"}", 1));
  EXPECT_TRUE(metric_becomes("sluice_http_connections", 0));
  EXPECT_FALSE(c.read_answer());
  EXPECT_FALSE(c.timed_out());
}

TEST_F(ServerLimits, NeighboursAreServedWhileOthersAreSlow) {
  serve({}, 1);
  RawClient in_header = client();
  RawClient in_body = client();
  RawClient in_chunk = client();
  RawClient silent = client();
  ASSERT_TRUE(in_header.send("POST / HTTP/1.1\r\nHo"));
  ASSERT_TRUE(in_body.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhe"));
  ASSERT_TRUE(in_chunk.send(kChunkedHead + "5\r\nhe"s));
  RawClient neighbour = client();
  for (int i = 0; i < 100; ++i) ASSERT_EQ(neighbour.ask(post("/", "b"))->status, 200);
  in_header.send("st: t\r\n\r\n");
  in_body.send("llo");
  in_chunk.send("llo\r\n0\r\n\r\n");
  EXPECT_EQ(in_header.read_answer()->body, "POST /  ");
  EXPECT_EQ(in_body.read_answer()->body, "POST /  hello");
  EXPECT_EQ(in_chunk.read_answer()->body, "POST /  hello");
  EXPECT_EQ(silent.ask(get("/"))->status, 200);
}

TEST_F(ServerLimits, ConnectionsBeyondTheLimitAreClosedAndCounted) {
  serve({.connections_max = 2});
  RawClient one = client();
  RawClient two = client();
  EXPECT_EQ(one.ask(get("/"))->status, 200);
  EXPECT_EQ(two.ask(get("/"))->status, 200);
  RawClient three = client();
  EXPECT_TRUE(three.closed_without_more());
  EXPECT_EQ(metric("sluice_http_refused_connections_total"), 1);
  EXPECT_EQ(metric("sluice_http_connections"), 2);
  one.close();
  EXPECT_TRUE(metric_becomes("sluice_http_connections", 1));
  EXPECT_EQ(client().ask(get("/"))->status, 200);
}

TEST_F(ServerLimits, BodiesWaitForMemory) {
  hold_bodies();
  serve({.body_bytes_in_memory_max = 100'000}, 2);
  const std::string body(60'000, 'b');
  RawClient first = client();
  ASSERT_TRUE(first.send(post("/", body)));
  Held one = held_.take();
  EXPECT_TRUE(metric_becomes("sluice_http_body_bytes_in_memory", 60'000));

  // Larger than all there is, so it also needs the first to be gone; the third queues behind it.
  const std::string larger(150'000, 'c');
  RawClient second = client();
  std::thread sender([&] { second.send(post("/", larger)); });
  RawClient third = client();
  ASSERT_TRUE(third.send(post("/", body)));
  RawClient without_body = client();
  ASSERT_TRUE(without_body.send(get("/")));
  std::move(held_.take().second).send({.status = 202});  // no body needs no memory
  EXPECT_EQ(without_body.read_answer()->status, 202);
  EXPECT_EQ(held_.size(), 0u);

  std::move(one.second).send({});
  EXPECT_EQ(first.read_answer()->status, 200);
  EXPECT_EQ(held_.size(), 0u);  // answered, but its body is still alive
  one.first = Body();
  for (int i = 0; i < 2; ++i) std::move(held_.take().second).send({});  // in either order
  EXPECT_EQ(second.read_answer()->status, 200);
  EXPECT_EQ(third.read_answer()->status, 200);
  sender.join();
  EXPECT_TRUE(metric_becomes("sluice_http_body_bytes_in_memory", 0));
}

// They once held all of it, for one time-out after the other.
TEST_F(ServerLimits, BodiesThatStallBehindTheirHeadersHoldNoMemory) {
  serve({.body_bytes_in_memory_max = 100'000}, 2);
  std::vector<RawClient> stalled;
  for (const std::string& head :
       {"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 90000\r\n\r\n"s,
        "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 90000\r\n\r\nsome"s,
        "POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 90000\r\n\r\n"s}) {
    for (int i = 0; i < 20; ++i) {
      stalled.push_back(client());
      ASSERT_TRUE(stalled.back().send(head));
    }
  }
  EXPECT_EQ(client().ask(post("/", std::string(50'000, 'x')))->status, 200);
  EXPECT_EQ(metric("sluice_http_body_bytes_in_memory"), 0);
}

TEST_F(ServerLimits, BodyThatStallsWhileOthersNeedItsMemoryGivesWay) {
  serve({.body_idle_timeout_ms = 600'000,
         .body_contended_timeout_ms = 50,
         .body_bytes_in_memory_max = 100'000});
  const std::string begun = post("/", std::string(90'000, 'x')).substr(0, 30'000);
  for (const std::string& part : {begun, kChunkedHead + "15f90\r\nsome"s}) {
    EXPECT_TRUE(metric_becomes("sluice_http_body_bytes_in_memory", 0));  // as counted once a tick
    RawClient stalled = client();
    ASSERT_TRUE(stalled.send(part));
    EXPECT_TRUE(metric_becomes("sluice_http_body_bytes_in_memory", 90'000));
    EXPECT_EQ(client().ask(post("/", std::string(50'000, 'x')))->status, 200);
    const auto answer = stalled.read_answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 408);
  }
}

TEST_F(ServerLimits, BodyThatPausesWhileNobodyNeedsItsMemoryKeepsIt) {
  serve({.body_contended_timeout_ms = 1, .body_bytes_in_memory_max = 100'000});
  RawClient pausing = client();
  const std::string request = post("/", std::string(50'000, 'x'));
  ASSERT_TRUE(pausing.send(request.substr(0, 30'000)));
  for (int i = 1; i <= 4; ++i) {  // answers are counted once a tick, when time-outs are looked at
    EXPECT_EQ(client().ask(post("/", "x"))->status, 200);
    EXPECT_TRUE(metric_becomes("sluice_http_requests_total{status_class=\"2xx\"}", i));
  }
  ASSERT_TRUE(pausing.send(request.substr(30'000)));
  EXPECT_EQ(pausing.read_answer()->status, 200);
}

TEST_F(ServerLimits, ManyBodiesThroughLittleMemory) {
  hold_bodies();
  serve({.body_bytes_in_memory_max = 200'000}, 2);
  std::atomic<bool> over = false;
  std::thread consumer([&] {  // another thread destroys the bodies
    for (int i = 0; i < 400; ++i) {
      Held held = held_.take();
      std::move(held.second).send({.body = std::to_string(held.first.size())});
    }
  });
  std::vector<std::thread> senders;
  for (int i = 0; i < 8; ++i) {
    senders.emplace_back([this, i, &over] {
      RawClient c = client();
      for (int k = 0; k < 50; ++k) {
        const std::string body(static_cast<std::size_t>(10'000 + (i * 50 + k) * 300), 'x');
        const bool chunked = k % 2 == 0;
        const auto answer = c.ask(
            chunked ? fmt::format("{}{:x}\r\n{}\r\n0\r\n\r\n", kChunkedHead, body.size(), body)
                    : post("/", body));
        if (!answer || answer->body != std::to_string(body.size())) over = true;
      }
    });
  }
  for (auto& sender : senders) sender.join();
  EXPECT_FALSE(over);
  if (over) return consumer.detach();
  consumer.join();
  EXPECT_TRUE(metric_becomes("sluice_http_body_bytes_in_memory", 0));
}

// Two that hold memory and both need more would wait for ever.
TEST_F(ServerLimits, ChunkedBodiesThatBlockEachOtherEndWith503) {
  serve({.body_idle_timeout_ms = 1000, .body_bytes_in_memory_max = 100'000}, 1);
  const std::string part = fmt::format("{:x}\r\n{}\r\n", 45'000, std::string(45'000, 'h'));
  RawClient one = client();
  RawClient two = client();
  ASSERT_TRUE(one.send(kChunkedHead + part));
  ASSERT_TRUE(two.send(kChunkedHead + part));
  ASSERT_TRUE(one.send(part + "0\r\n\r\n"));
  ASSERT_TRUE(two.send(part + "0\r\n\r\n"));
  const auto first = one.read_answer();
  const auto second = two.read_answer();
  ASSERT_TRUE(first && second);
  for (int status : {first->status, second->status}) {
    EXPECT_TRUE(status == 200 || status == 503) << status;
  }
  EXPECT_TRUE(metric_becomes("sluice_http_body_bytes_in_memory", 0));
  EXPECT_EQ(client().ask(post("/", "x"))->status, 200);
}

TEST_F(ServerLimits, MetricsCountWhatHappened) {
  serve();
  RawClient c = client();
  const std::string request = post("/", "hello");
  for (int i = 0; i < 3; ++i) c.ask(request);
  c.ask("rubbish\r\n\r\n");
  EXPECT_TRUE(metric_becomes("sluice_http_requests_total{status_class=\"2xx\"}", 3));
  EXPECT_TRUE(metric_becomes("sluice_http_requests_total{status_class=\"4xx\"}", 1));
  EXPECT_TRUE(metric_becomes("sluice_http_request_bytes_total",
                             static_cast<double>(3 * request.size() + 11)));
}

}  // namespace
}  // namespace sluice::http
