#include "egress/gather.h"

#include <algorithm>

#include "base/assert.h"

namespace sluice::egress {

Gather::Gather(std::string_view head, std::span<const std::string_view> body)
    : head_(head), body_(body), bytes_(head.size()) {
  for (const std::string_view part : body_) bytes_ += part.size();
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
  SLUICE_ASSERT(bytes <= bytes_ - sent_);
  sent_ += bytes;
  offset_ += bytes;
  while (part_ + 1 < parts() && offset_ >= part(part_).size()) {
    offset_ -= part(part_).size();
    ++part_;
  }
}

}  // namespace sluice::egress
