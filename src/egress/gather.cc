#include "egress/gather.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "egress/http_client.h"

namespace sluice::egress {

Gather::Gather(std::string_view head, std::span<const std::string_view> body)
    : head_(head), body_(body), bytes_(head.size()) {
  for (const std::string_view part : body_) bytes_ += part.size();
  given_ = bytes_;
}

Gather::Gather(std::string_view head, BodySource& body, std::uint64_t body_bytes)
    : head_(head), source_(&body), bytes_(head.size() + body_bytes), given_(head.size()) {}

Awaitable<Result<void>> Gather::pull() {
  SLUICE_ASSERT(source_ != nullptr && needs_pull());
  const Result<std::string_view> piece = co_await source_->next();
  if (!piece.has_value()) co_return piece.error();
  if (piece->empty() || piece->size() > bytes_ - given_) {
    co_return Error{ErrorCode::Unavailable,
                    fmt::format("the body is {} than the {} bytes announced",
                                piece->empty() ? "shorter" : "longer", body_bytes())};
  }
  pulled_ = *piece;
  body_ = {&pulled_, 1};
  given_ += pulled_.size();
  part_ = 1;
  offset_ = 0;
  co_return Result<void>{};
}

std::size_t Gather::fill(std::span<iovec> into) const {
  std::size_t filled = 0;
  std::size_t offset = offset_;
  for (std::size_t i = part_; i < parts() && filled < into.size(); ++i) {
    const std::string_view rest = part(i).substr(offset);
    offset = 0;
    if (rest.empty()) continue;
    into[filled++] = {const_cast<char*>(rest.data()), rest.size()};  // sendmsg() only reads it
  }
  return filled;
}

std::string_view Gather::piece(std::span<char> room) const {
  const std::string_view first = part(part_).substr(offset_);
  if (first.size() >= room.size()) return first.substr(0, room.size());
  std::size_t copied = first.copy(room.data(), first.size());
  for (std::size_t i = part_ + 1; i < parts() && copied < room.size(); ++i) {
    copied += part(i).copy(room.data() + copied, room.size() - copied);
  }
  return {room.data(), copied};
}

void Gather::advance(std::size_t bytes) {
  SLUICE_ASSERT(bytes <= given_ - sent_);
  sent_ += bytes;
  offset_ += bytes;
  while (part_ + 1 < parts() && offset_ >= part(part_).size()) {
    offset_ -= part(part_).size();
    ++part_;
  }
}

}  // namespace sluice::egress
