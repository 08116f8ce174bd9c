#pragma once
// The bytes of a request where they lie, and how many of them are gone.

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace sluice::egress {

// Owns nothing.
class Gather {
 public:
  Gather(std::string_view head, std::span<const std::string_view> body);

  bool done() const { return sent_ == bytes_; }
  std::uint64_t body_bytes() const { return bytes_ - head_.size(); }
  std::uint64_t body_sent() const { return sent_ < head_.size() ? 0 : sent_ - head_.size(); }

  // The next parts, as many as fit. Returns how many.
  std::size_t fill(std::span<iovec> parts) const;
  // The next bytes in one piece, at most room.size() of them: where they lie if they lie together,
  // else copied to `room`. The same until advance().
  std::string_view piece(std::span<char> room) const;
  void advance(std::size_t bytes);

 private:
  std::size_t parts() const { return body_.size() + 1; }
  std::string_view part(std::size_t i) const { return i == 0 ? head_ : body_[i - 1]; }

  const std::string_view head_;
  const std::span<const std::string_view> body_;
  std::uint64_t bytes_;
  std::uint64_t sent_ = 0;
  std::size_t part_ = 0;    // the first that is not all gone
  std::size_t offset_ = 0;  // in it
};

}  // namespace sluice::egress
