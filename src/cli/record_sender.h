#pragma once
// Brings one body of records at a time onto a server's disk: tries again while the server or the
// way to it is in trouble, with the same idempotency key, so that nothing is stored twice.

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "cli/http_post.h"
#include "model/kind.h"

namespace sluice::cli {

enum class BodyForm : std::uint8_t { Json, Lines };

struct InvalidRecord {
  std::uint64_t index;                // in the body, from 0
  std::optional<std::uint64_t> line;  // in the body, from 1; of lines only
  std::string message;
};
struct Accepted {
  std::uint64_t records;
  std::uint64_t rejected = 0;               // with skip_invalid
  bool replayed = false;                    // the server had stored it before, at an earlier try
  std::vector<InvalidRecord> invalid = {};  // the rejected ones, as far as the server named them
};
// The server will not take this body, however often it comes.
struct Refused {
  int status;
  std::string message;
  std::vector<InvalidRecord> records;  // the invalid ones, as far as the server named them
};
struct GaveUp {
  std::string message;
};
struct Stopped {};  // the user wanted an end; the body may be stored or not
using SendResult = std::variant<Accepted, Refused, GaveUp, Stopped>;

// Threads: none; blocks.
class RecordSender {
 public:
  struct Options {
    std::function<Result<PostAnswer>(const PostRequest&)> post;
    std::function<bool(std::chrono::milliseconds)> pause;           // false: the user wants an end
    std::function<void(std::string_view)> report;                   // a sentence about each wait
    std::chrono::milliseconds retry_for = std::chrono::minutes(5);  // sum of the waits for a body
    std::function<std::string()> make_key = {};                     // unless given: 128 random bits
    bool gzip = false;                                              // where it makes a body smaller
    bool skip_invalid = false;  // the server keeps invalid records aside and takes the others
  };
  explicit RecordSender(Options options);

  SendResult send(Kind kind, BodyForm form, std::string_view body);

 private:
  Options options_;
};

}  // namespace sluice::cli
