// How requests are read and answered, over real sockets.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "http/server_fixture.h"

namespace sluice::http {
namespace {

using namespace std::string_literals;

class Requests : public ServerTest {};

TEST_F(Requests, KeepAliveServesOneAfterTheOther) {
  serve();
  RawClient c = client();
  for (int i = 0; i < 100; ++i) {
    const auto answer = c.ask(post("/a/b?x=1&y=?", fmt::format("body {}", i)));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, fmt::format("POST /a/b x=1&y=? body {}", i));
    EXPECT_EQ(answer->headers.at("Content-Type"), "text/plain");
    EXPECT_EQ(answer->headers.count("Connection"), 0u);
  }
}

TEST_F(Requests, PipelinedRequestsAreAnsweredInOrder) {
  serve();
  RawClient c = client();
  std::string all;
  for (int i = 0; i < 200; ++i) {
    all += i % 3 == 0 ? get(fmt::format("/{}", i)) : post(fmt::format("/{}", i), "b");
  }
  ASSERT_TRUE(c.send(all));
  for (int i = 0; i < 200; ++i) {
    const auto answer = c.read_answer();
    ASSERT_TRUE(answer) << i;
    EXPECT_EQ(answer->body,
              i % 3 == 0 ? fmt::format("GET /{}  ", i) : fmt::format("POST /{}  b", i));
  }
}

TEST_F(Requests, ArriveByteByByte) {
  serve();
  RawClient c = client();
  ASSERT_TRUE(c.send_bytewise(post("/p?q", "hello")));
  ASSERT_TRUE(
      c.send_bytewise("POST /c HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\n"));
  ASSERT_TRUE(c.send_bytewise(get("/g")));
  EXPECT_EQ(c.read_answer()->body, "POST /p q hello");
  EXPECT_EQ(c.read_answer()->body, "POST /c  hello world");
  EXPECT_EQ(c.read_answer()->body, "GET /g  ");
}

// Requests of every framing and many sizes, cut at random places.
TEST_F(Requests, AnySplitGivesTheSameBodies) {
  serve();
  const std::uint32_t seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  const auto below = [&random](std::size_t n) { return std::size_t{random() % n}; };
  for (int round = 0; round < 20; ++round) {
    std::string wire;
    std::vector<std::string> bodies;
    for (int i = 0; i < 10; ++i) {
      std::string body(below(2) == 0 ? below(300) : below(100'000), ' ');
      for (char& byte : body) byte = static_cast<char>(random());
      if (below(2) == 0) {
        wire += post("/", body);
      } else {
        wire += "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: Chunked\r\n\r\n";
        for (std::size_t at = 0; at < body.size();) {
          const std::size_t size = std::min(body.size() - at, 1 + below(40'000));
          wire += fmt::format("{:x}\r\n{}\r\n", size, body.substr(at, size));
          at += size;
        }
        wire += "0\r\n\r\n";
      }
      bodies.push_back("POST /  " + std::move(body));
    }
    RawClient c = client();
    std::thread sender([&] {
      for (std::size_t at = 0; at < wire.size();) {
        const std::size_t size = std::min(wire.size() - at, 1 + below(20'000));
        c.send(std::string_view(wire).substr(at, size));
        at += size;
      }
    });
    for (const std::string& body : bodies) {
      const auto answer = c.read_answer();
      EXPECT_TRUE(answer && answer->body == body) << "round " << round;
      if (!answer) break;
    }
    sender.join();
  }
}

TEST_F(Requests, LargeBodyArrivesWholeAndPadded) {
  handler_.answer = [](const RequestHead& head, Body body, Responder responder) {
    EXPECT_EQ(head.content_length, body.size());
    for (std::size_t i = 0; i < Body::kPadding; ++i) EXPECT_EQ(body.data()[body.size() + i], 0);
    std::move(responder).send({.body = std::string(body.view())});
  };
  serve();
  std::string body(5'000'001, ' ');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 31);
  RawClient c = client();
  std::thread sender([&] { c.send(post("/", body)); });
  const auto answer = c.read_answer();
  sender.join();
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->body == body);
}

TEST_F(Requests, HeadShowsWhatWasSent) {
  handler_.answer = [](const RequestHead& head, Body, Responder responder) {
    EXPECT_EQ(head.header("x-ONE"), "1");
    EXPECT_EQ(head.header("X-Empty"), "");
    EXPECT_EQ(head.header("X-Two"), "a, b");
    EXPECT_EQ(head.header("missing"), "");
    EXPECT_EQ(head.headers.size(), 4u);
    EXPECT_EQ(head.remote_address, "127.0.0.1");
    EXPECT_FALSE(head.content_length);
    EXPECT_LT(head.io_thread, 2u);
    std::move(responder).send({.status = 201, .headers = {{"X-Answer", "yes"}}});
  };
  serve();
  const auto answer = client().ask(
      "BREW /%20 HTTP/1.1\r\nHost: t\r\nX-One:1\r\nX-Empty:\r\nX-Two: \t a, b \t\r\n\r\n");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->head.substr(0, 22), "HTTP/1.1 201 Created\r\n");
  EXPECT_EQ(answer->headers.at("X-Answer"), "yes");
  EXPECT_EQ(answer->headers.at("Content-Length"), "0");
}

TEST_F(Requests, TargetMayBeAbsoluteAndEmptyLinesMayPrecede) {
  serve();
  RawClient c = client();
  EXPECT_EQ(c.ask(get("http://t:80/a?b"))->body, "GET /a b ");
  EXPECT_EQ(c.ask("\r\n\r\n" + get("/a?u=http://x/y"))->body, "GET /a u=http://x/y ");
}

TEST_F(Requests, HeadRequestGetsLengthButNoBody) {
  serve();
  RawClient c = client();
  c.send("HEAD /h HTTP/1.1\r\nHost: t\r\n\r\n");
  const auto answer = c.read_answer(true);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->headers.at("Content-Length"), "9");
  EXPECT_EQ(c.ask(get("/next"))->body, "GET /next  ");
}

TEST_F(Requests, NoContentHasNoLength) {
  handler_.answer = [](const RequestHead&, Body, Responder responder) {
    std::move(responder).send({.status = 204, .content_type = ""});
  };
  serve();
  RawClient c = client();
  EXPECT_EQ(c.ask(get("/"))->headers.count("Content-Length"), 0u);
  EXPECT_EQ(c.ask(get("/"))->status, 204);
}

TEST_F(Requests, EmptyBodies) {
  serve();
  RawClient c = client();
  EXPECT_EQ(c.ask(post("/", ""))->body, "POST /  ");
  EXPECT_EQ(c.ask("POST / HTTP/1.1\r\nHost: t\r\n\r\n")->body, "POST /  ");
  EXPECT_EQ(
      c.ask("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")->body,
      "POST /  ");
}

TEST_F(Requests, OldVersionClosesUnlessAskedOtherwise) {
  serve();
  RawClient c = client();
  const auto kept = c.ask("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->headers.at("Connection"), "keep-alive");
  EXPECT_EQ(c.ask("GET /2 HTTP/1.0\r\n\r\n")->headers.at("Connection"), "close");
  EXPECT_TRUE(c.closed_without_more());
}

TEST_F(Requests, EitherSideMayAskToClose) {
  handler_.answer = [](const RequestHead& head, Body, Responder responder) {
    std::move(responder).send({.close = head.path == "/close"});
  };
  serve();
  RawClient c = client();
  const auto answer = c.ask("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(answer->headers.at("Connection"), "close");
  EXPECT_TRUE(c.closed_without_more());

  RawClient d = client();
  EXPECT_EQ(d.ask(get("/close"))->headers.at("Connection"), "close");
  EXPECT_TRUE(d.closed_without_more());
}

TEST_F(Requests, ContinueIsSentOnceTheHandlerTakesTheBody) {
  serve();
  RawClient c = client();
  for (const char* framing : {"Content-Length: 5", "Transfer-Encoding: chunked"}) {
    c.send(
        fmt::format("POST / HTTP/1.1\r\nHost: t\r\n{}\r\nExpect: 100-continue\r\n\r\n", framing));
    EXPECT_EQ(c.read_answer()->status, 100);
    c.send(framing[0] == 'C' ? "hello" : "5\r\nhello\r\n0\r\n\r\n");
    EXPECT_EQ(c.read_answer()->body, "POST /  hello");
  }
}

TEST_F(Requests, NoContinueForARefusedBody) {
  handler_.refuse_head = [](const RequestHead& head) {
    return head.path == "/refused" ? std::optional(Response{.status = 401}) : std::nullopt;
  };
  handler_.body_bytes_max = 4;
  serve();
  const std::string rest =
      " HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
  RawClient c = client();
  const auto refused = c.ask("POST /refused" + rest);
  EXPECT_EQ(refused->status, 401);
  EXPECT_EQ(refused->headers.at("Connection"), "close");
  EXPECT_TRUE(c.closed_without_more());

  RawClient d = client();
  EXPECT_EQ(d.ask("POST /too-large" + rest)->status, 413);
  EXPECT_TRUE(d.closed_without_more());
}

TEST_F(Requests, AnswerToTheHeadAloneKeepsTheConnectionWithoutABody) {
  handler_.refuse_head = [](const RequestHead&) { return Response{.status = 404}; };
  serve();
  RawClient c = client();
  EXPECT_EQ(c.ask(get("/1"))->status, 404);
  EXPECT_EQ(c.ask(get("/2"))->status, 404);
}

TEST_F(Requests, WhatIsNotHttpIsRefusedAndNeverReachesTheHandler) {
  handler_.refuse_head = [](const RequestHead&) {
    ADD_FAILURE() << "the handler saw it";
    return std::nullopt;
  };
  serve();
  const std::string head = "POST / HTTP/1.1\r\nHost: t\r\n";
  const std::vector<std::string> bad = {
      "rubbish\r\n\r\n",
      std::string("\0\1\2\3\xff\xfe", 6) + "\r\n\r\n",
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  // a TLS hello
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "GET / HTTP/1.1\nHost: t\n\n",
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n",
      "GET /\0 HTTP/1.1\r\nHost: t\r\n\r\n"s,
      "GET / HTTP/1.1\r\nHost : t\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: t\r\nX: a\r\n b\r\n\r\n",  // a folded line
      "GET / HTTP/1.1\r\nHost: t\r\nX: \1\r\n\r\n",
      head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
      head + "Content-Length: -1\r\n\r\n",
      head + "Content-Length: 18446744073709551616\r\n\r\n",
      head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      head + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
      head + "Transfer-Encoding: gzip\r\n\r\n",
      head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      head + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
      head + "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  };
  for (const std::string& request : bad) {
    SCOPED_TRACE(::testing::PrintToString(request));
    RawClient c = client();
    const auto answer = c.ask(request);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 400);
    EXPECT_EQ(answer->headers.at("Connection"), "close");
    EXPECT_TRUE(c.closed_without_more());
  }
}

TEST_F(Requests, BadChunksAreRefused) {
  handler_.answer = [](const RequestHead&, Body, Responder) { ADD_FAILURE() << "delivered"; };
  serve();
  const std::string endless(20'000, 'x');
  const std::vector<std::string> bad = {"z\r\n",
                                        "5\r\nhelloXXXX\r\n",
                                        "-5\r\nhello\r\n",
                                        "10000000000000000\r\n",
                                        "5;" + endless,
                                        "0\r\n" + endless,
                                        "0\r\nTrailer\r\n\r\n",
                                        "0\r\nContent-Length: 5\r\n\r\n"};
  for (const std::string& chunks : bad) {
    SCOPED_TRACE(chunks.substr(0, 40));
    RawClient c = client();
    const auto answer =
        c.ask("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 400);
    EXPECT_TRUE(c.closed_without_more());
  }
}

class TrustedProxies : public ServerTest {
 protected:
  std::string client_seen(const std::string& fields) {
    return client().ask("GET / HTTP/1.1\r\nHost: t\r\n" + fields + "\r\n")->body;
  }
  void serve_behind(const std::vector<std::string>& networks) {
    handler_.answer = [](const RequestHead& head, Body, Responder responder) {
      std::move(responder).send({.body = std::string(head.remote_address)});
    };
    Settings settings{.address = "127.0.0.1:0"};
    for (const std::string& text : networks) {
      settings.trusted_proxies.push_back(*parse_network(text));
    }
    serve_with(settings);
  }
};

TEST_F(TrustedProxies, TheirLastHopThatIsNoneOfThemIsTheClient) {
  serve_behind({"127.0.0.1", "10.0.0.0/8"});
  const std::pair<const char*, const char*> cases[] = {
      {"", "127.0.0.1"},
      {"X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"},
      {"X-Forwarded-For: 192.0.2.7, 10.1.1.1\r\n", "192.0.2.7"},
      {"x-forwarded-for: 203.0.113.9,192.0.2.7 , 10.1.1.1,10.2.2.2\r\n", "192.0.2.7"},
      {"X-Forwarded-For: 203.0.113.9, 192.0.2.7\r\nX-Forwarded-For: 10.1.1.1\r\n", "192.0.2.7"},
      {"X-Forwarded-For: 10.1.1.1, 10.2.2.2\r\n", "10.1.1.1"},
      {"X-Forwarded-For: 2001:db8::7, 10.2.2.2\r\n", "2001:db8::7"},
      {"X-Forwarded-For: 192.0.2.7, rubbish, 10.2.2.2\r\n", "10.2.2.2"},
      {"X-Forwarded-For: \r\n", "127.0.0.1"},
      {"X-Forwarded-For: ,,\r\n", "127.0.0.1"},
  };
  for (const auto& [fields, expected] : cases) EXPECT_EQ(client_seen(fields), expected) << fields;
  RawClient kept = client();  // what one request said does not hold for the next
  EXPECT_EQ(kept.ask("GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n")->body,
            "192.0.2.7");
  EXPECT_EQ(kept.ask(get("/"))->body, "127.0.0.1");
}

TEST_F(TrustedProxies, OthersAreNotBelieved) {
  serve_behind({"10.0.0.0/8"});
  EXPECT_EQ(client_seen("X-Forwarded-For: 192.0.2.7\r\n"), "127.0.0.1");
}

}  // namespace
}  // namespace sluice::http
