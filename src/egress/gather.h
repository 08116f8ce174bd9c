#pragma once
// The bytes of a request where they lie, and how many of them are gone.

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/awaitable.h"
#include "base/result.h"

namespace sluice::egress {

class BodySource;

// Owns nothing.
class Gather {
 public:
  Gather(std::string_view head, std::span<const std::string_view> body);
  // `body` gives exactly `body_bytes`.
  Gather(std::string_view head, BodySource& body, std::uint64_t body_bytes);
  Gather(const Gather&) = delete;
  Gather& operator=(const Gather&) = delete;

  bool done() const { return sent_ == bytes_; }
  std::uint64_t body_bytes() const { return bytes_ - head_.size(); }
  std::uint64_t body_sent() const { return sent_ < head_.size() ? 0 : sent_ - head_.size(); }

  // There is more, which pull() has to get first.
  bool needs_pull() const { return !done() && sent_ == given_; }
  // The source's error, or that it gives more or less than was announced.
  Awaitable<Result<void>> pull();

  // Unless it needs a pull: the next parts, as many as fit. Returns how many.
  std::size_t fill(std::span<iovec> parts) const;
  // Likewise the next bytes in one piece, at most room.size() of them: where they lie if they lie
  // together, else copied to `room`. The same until advance().
  std::string_view piece(std::span<char> room) const;
  void advance(std::size_t bytes);

 private:
  std::size_t parts() const { return body_.size() + 1; }
  std::string_view part(std::size_t i) const { return i == 0 ? head_ : body_[i - 1]; }

  const std::string_view head_;
  std::span<const std::string_view> body_;
  BodySource* const source_ = nullptr;
  std::string_view pulled_;  // then `body_` is this
  std::uint64_t bytes_;      // of all
  std::uint64_t given_;      // of the parts there are, and of those before
  std::uint64_t sent_ = 0;
  std::size_t part_ = 0;    // the first that is not all gone
  std::size_t offset_ = 0;  // in it
};

}  // namespace sluice::egress
