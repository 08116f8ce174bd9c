#include "cli/http_post.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <mutex>

#include "base/io_threads.h"
#include "base/metrics.h"
#include "http/server.h"

namespace sluice::cli {
namespace {

// Answers with what the test sets and remembers what came.
class FakeServer final : public http::Handler {
 public:
  FakeServer() {
    http::Settings settings;
    settings.address = "127.0.0.1:0";
    auto server = http::Server::listen(settings, threads_, *this, metrics_);
    EXPECT_TRUE(server.has_value());
    server_ = std::move(*server);
    threads_.start();
  }
  ~FakeServer() override { server_->stop(1000); }

  std::string url() const { return server_->url(); }

  std::variant<TakeBody, http::Response> on_head(const http::RequestHead&) override {
    return TakeBody{64 << 20};
  }
  void on_request(const http::RequestHead& head, http::Body body,
                  http::Responder responder) override {
    const std::lock_guard lock(mutex_);
    seen_ = fmt::format("{} {} type={} key={} auth={} expect={} bytes={}", head.method, head.path,
                        head.header("Content-Type"), head.header("Idempotency-Key"),
                        head.header("Authorization"), head.header("Expect"), body.size());
    std::move(responder).send(answer_);
  }
  http::Response refusal(int status, std::string_view) override { return {.status = status}; }

  void answer_with(http::Response answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  std::string seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  std::mutex mutex_;
  http::Response answer_;
  std::string seen_;
  Metrics metrics_;
  IoThreads threads_{1};
  std::unique_ptr<http::Server> server_;
};

Result<PostAnswer> post(const std::string& url, std::string_view body,
                        const std::string& token = "secret") {
  auto http = HttpPost::open({url, token, {}});
  EXPECT_TRUE(http.has_value());
  return (*http)->post({"/api/v2/records/usage", "application/x-ndjson", body, "key-1"});
}

TEST(HttpPost, SendsWhatTheServerNeeds) {
  FakeServer server;
  server.answer_with({.body = R"({"accepted": 1})"});
  const auto answer = post(server.url() + "/", std::string(2'000'000, 'x'));
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, R"({"accepted": 1})");
  EXPECT_EQ(server.seen(),
            "POST /api/v2/records/usage type=application/x-ndjson key=key-1 auth=Bearer secret "
            "expect= bytes=2000000");
}

TEST(HttpPost, WithoutATokenThereIsNoAuthorization) {
  FakeServer server;
  ASSERT_TRUE(post(server.url(), "x", "").has_value());
  EXPECT_NE(server.seen().find("auth= "), std::string::npos);
}

TEST(HttpPost, AnyStatusIsAnAnswer) {
  FakeServer server;
  server.answer_with({.status = 503, .headers = {{"Retry-After", "7"}}});
  const auto answer = post(server.url(), "x");
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 503);
  EXPECT_EQ(answer->retry_after_s, 7U);
}

TEST(HttpPost, RedirectsAreNotFollowed) {
  FakeServer server;
  server.answer_with({.status = 302, .headers = {{"Location", server.url() + "/elsewhere"}}});
  const auto answer = post(server.url(), "x");
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 302);
}

TEST(HttpPost, AnAnswerIsReadInBounds) {
  FakeServer server;
  server.answer_with({.body = std::string(3 << 20, 'x')});
  const auto answer = post(server.url(), "x");
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->body.size(), 1U << 20);
}

TEST(HttpPost, NobodyThereIsUnavailable) {
  std::string url;
  {
    const FakeServer server;
    url = server.url();
  }
  const auto answer = post(url, "x");
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::Unavailable);
  EXPECT_EQ(answer.error().message.find("secret"), std::string::npos);
}

TEST(HttpPost, TheEnvironmentsProxyIsNotForLoopback) {
  FakeServer server;
  ::setenv("http_proxy", "http://127.0.0.1:9", 1);
  const auto answer = post(server.url(), "x");
  ::unsetenv("http_proxy");
  EXPECT_TRUE(answer.has_value());
}

TEST(HttpPost, OptionsThatCannotBeUsedAreNamed) {
  for (const std::string url :
       {"", "127.0.0.1:8080/x y", "ftp://127.0.0.1", "http://", "file:///x"}) {
    const auto http = HttpPost::open({url, "", {}});
    ASSERT_FALSE(http.has_value()) << url;
    EXPECT_EQ(http.error().code, ErrorCode::InvalidArgument);
  }
  const auto http = HttpPost::open({"http://127.0.0.1:1", "a\r\nX-Evil: 1", {}});
  ASSERT_FALSE(http.has_value());
  EXPECT_EQ(http.error().message.find("Evil"), std::string::npos);
}

}  // namespace
}  // namespace sluice::cli
