#pragma once
// An HttpClient with a loop of its own that may go to 127.0.0.0/8, and requests for it.

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "egress/http_client.h"
#include "egress/testing/run.h"
#include "egress/testing/test_server.h"

namespace sluice::egress::testing {

struct Client {
  boost::asio::io_context loop{1};
  SystemClock clock;
  HttpClient http;

  explicit Client(Settings settings = local_settings()) : http(loop, clock, std::move(settings)) {}

  static Settings local_settings() {
    Settings settings;
    settings.allow = {"127.0.0.0/8"};
    return settings;
  }
  Result<HttpResponse> perform(HttpRequest request,
                               std::chrono::milliseconds time = std::chrono::seconds(10)) {
    return run(loop, http.perform(std::move(request), clock.steady() + time));
  }
  Result<void> probe(std::string url, std::chrono::milliseconds time = std::chrono::seconds(10)) {
    return run(loop, http.probe(std::move(url), OrganisationId{1}, clock.steady() + time));
  }
};

inline std::string url_of(const TestServer& server, std::string_view path = "/in") {
  return fmt::format("http://127.0.0.1:{}{}", server.port(), path);
}

inline HttpRequest post(std::string url, std::vector<std::string_view> body = {"[{}]"}) {
  HttpRequest request;
  request.organisation = OrganisationId{1};
  request.url = std::move(url);
  request.body = std::move(body);
  return request;
}

inline void answer_all(Peer& peer) {
  while (peer.read_request().has_value()) peer.answer(200);
}

}  // namespace sluice::egress::testing
