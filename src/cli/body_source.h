#pragma once
// Cuts a file or a pipe into bodies for ingest. Lines go in bodies of about 1 MB, cut at line
// ends; an array, or objects that are not one a line, go as one body.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/record_sender.h"

namespace sluice::cli {

struct Body {
  std::string_view bytes;  // valid until the next call
  BodyForm form;
  std::uint64_t first_line = 1;  // of the file
};

// Memory: two bodies, or the one that cannot be cut (at most kWholeBytesMax). Threads: none.
class BodySource {
 public:
  static constexpr std::size_t kBodyBytes = 1'000'000;             // a longer line goes alone
  static constexpr std::size_t kWholeBytesMax = 64 * 1024 * 1024;  // the server's own default limit

  // "-" is standard input. `stopped` is asked while a pipe is silent.
  static Result<std::unique_ptr<BodySource>> open(const std::string& path,
                                                  std::function<bool()> stopped);
  // Reads from a descriptor that it then owns; `name` is for messages.
  BodySource(int fd, std::string name, std::function<bool()> stopped);
  ~BodySource();
  BodySource(const BodySource&) = delete;
  BodySource& operator=(const BodySource&) = delete;

  // Empty: the end. Lines of a pipe that falls silent go out without waiting for a full body.
  // Cancelled: stopped. ResourceExhausted: a body that cannot be cut is too large.
  Result<std::optional<Body>> next();

  const std::string& name() const { return name_; }
  std::uint64_t bytes_taken() const { return bytes_taken_; }
  std::uint64_t bytes_total() const { return bytes_total_; }  // 0: nobody knows

 private:
  enum class Silence : std::uint8_t { Wait, Return };
  // Reads once. False: nothing came (the end, or silence and Silence::Return).
  Result<bool> fill(Silence silence);
  Result<void> find_form();
  Result<std::optional<Body>> next_whole();
  Result<std::optional<Body>> next_lines();
  std::optional<Body> cut(std::size_t size, BodyForm form);

  int fd_;
  std::string name_;
  std::function<bool()> stopped_;
  std::uint64_t bytes_total_ = 0;
  std::uint64_t bytes_taken_ = 0;
  std::string buffer_;
  std::size_t taken_ = 0;  // of buffer_: handed out before
  std::uint64_t next_line_ = 1;
  bool at_end_ = false;
  std::optional<BodyForm> form_;
};

}  // namespace sluice::cli
