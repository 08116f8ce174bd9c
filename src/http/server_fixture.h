#pragma once
// For tests: a server on a free port whose handler is made of functions.

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "base/io_threads.h"
#include "base/metrics.h"
#include "http/error_answer.h"
#include "http/raw_client.h"
#include "http/server.h"

namespace sluice::http {

class FakeHandler final : public Handler {
 public:
  std::uint64_t body_bytes_max = 64 << 20;
  std::function<std::optional<Response>(const RequestHead&)> refuse_head = [](const auto&) {
    return std::nullopt;
  };
  // By default the answer repeats method, path, query and body.
  std::function<void(const RequestHead&, Body, Responder)> answer =
      [](const RequestHead& head, Body body, Responder responder) {
        std::string text(head.method);
        text.append(" ").append(head.path).append(" ").append(head.query).append(" ");
        text.append(body.view());
        std::move(responder).send({.content_type = "text/plain", .body = std::move(text)});
      };

  std::variant<TakeBody, Response> on_head(const RequestHead& head) override {
    if (auto response = refuse_head(head)) return std::move(*response);
    return TakeBody{body_bytes_max};
  }
  void on_request(const RequestHead& head, Body body, Responder responder) override {
    answer(head, std::move(body), std::move(responder));
  }
  Response refusal(int status, std::string_view detail) override {
    return {.status = status, .content_type = "text/plain", .body = std::string(detail)};
  }
};

// A value that one thread leaves for another.
template <class T>
class Mailbox {
 public:
  void put(T value) {
    const std::lock_guard lock(mutex_);
    values_.push_back(std::move(value));
    changed_.notify_all();
  }
  T take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !values_.empty(); });
    T value = std::move(values_.front());
    values_.pop_front();
    return value;
  }
  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return values_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> values_;
};

class ServerTest : public ::testing::Test {
 protected:
  ~ServerTest() override {
    server_.reset();
    if (threads_) threads_->stop_and_join();
  }

  void serve(const Limits& limits = {}, std::size_t loops = 2) {
    serve_with({.address = "127.0.0.1:0", .limits = limits}, loops);
  }
  void serve_with(const Settings& settings, std::size_t loops = 2) {
    threads_ = std::make_unique<IoThreads>(loops);
    auto server = Server::listen(settings, *threads_, handler_, metrics_);
    ASSERT_TRUE(server.has_value()) << server.error().message;
    server_ = std::move(*server);
    threads_->start();
  }
  RawClient client() { return RawClient(server_->port()); }

  double metric(const std::string& line_start) const {
    const std::string text = metrics_.prometheus_text();
    const std::size_t at = text.find("\n" + line_start + " ");
    return at == std::string::npos ? -1 : std::atof(text.c_str() + at + line_start.size() + 2);
  }
  // Counters are brought up to date once a tick.
  bool metric_becomes(const std::string& line_start, double value) const {
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (metric(line_start) != value) {
      if (std::chrono::steady_clock::now() > patience) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  Metrics metrics_;
  FakeHandler handler_;
  std::unique_ptr<IoThreads> threads_;  // before server_: outlives it
  std::unique_ptr<Server> server_;
};

inline std::string post(std::string_view path, std::string_view body) {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}
inline std::string get(std::string_view target) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: t\r\n\r\n";
}

}  // namespace sluice::http
