#pragma once
// Content-Encoding: a body as it came -> the body that was meant.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <variant>

#include "ingest/refusal.h"

namespace sluice::ingest {

enum class Encoding : std::uint8_t { Identity, Gzip, Zstd };

struct Unpacked {
  std::unique_ptr<char[]> storage;  // with http::Body::kPadding zeros behind the body
  std::size_t size = 0;
  std::uint64_t capacity = 0;  // what was asked of `reserve`, all in all
};

struct UnpackLimits {
  std::uint64_t bytes_max = 64 << 20;  // of the unpacked body
  // Asked before so many bytes more are allocated; false: there is no room for them.
  std::function<bool(std::uint64_t)> reserve = [](std::uint64_t) { return true; };
};

// How large `packed` says it becomes: a hint that may lie, though not beyond what its format can
// pack into so few bytes. 0 for Identity.
std::uint64_t announced_size(Encoding encoding, std::string_view packed);

// Gzip: members one behind the other (RFC 1952); Zstd: frames, skippable ones too (RFC 8878), with
// windows of up to 8 MiB (RFC 9659). No member or frame at all is an empty body. Anything behind
// the last one, a missing end and a wrong checksum are MalformedBody. BodyTooLarge as soon as
// bytes_max is passed; Overloaded when there is no room. `encoding` is not Identity.
//
// Memory: the unpacked body, twice while it is moved to more room, and the window. Threads: any.
std::variant<Unpacked, Refusal> unpack(Encoding encoding, std::string_view packed,
                                       const UnpackLimits& limits);

}  // namespace sluice::ingest
