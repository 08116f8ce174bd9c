#pragma once
// Calls of the command line to a Sluice server, over libcurl. Blocks; one connection, kept open.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::cli {

struct PostRequest {
  std::string_view path_and_query;
  std::string_view content_type;
  std::string_view body;  // not copied
  std::string_view idempotency_key;
  std::string_view content_encoding = {};  // "" = none
  std::string_view method = "POST";        // or GET, which sends no body
};

struct PostAnswer {
  int status = 0;
  std::string body;  // its first 1 MiB
  std::optional<std::uint32_t> retry_after_s;
};

// Threads: none.
class HttpPost {
 public:
  struct Options {
    std::string url;                // http or https; without a path
    std::string token;              // sent as a bearer token; empty: none
    std::function<bool()> stopped;  // asked now and then: true cuts a slow request short
  };
  // InvalidArgument: the URL or the token cannot be used.
  static Result<std::unique_ptr<HttpPost>> open(Options options);
  ~HttpPost();

  bool is_local() const;  // the server is on this machine

  // Any status is an answer. Unavailable, Timeout: no answer; nobody knows whether it was stored.
  Result<PostAnswer> post(const PostRequest& request);

 private:
  struct Impl;
  explicit HttpPost(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::cli
