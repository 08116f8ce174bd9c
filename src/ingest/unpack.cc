#include "ingest/unpack.h"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/units.h"
#include "http/server.h"

namespace sluice::ingest {
namespace {

using http::ErrorToken;

constexpr std::uint64_t kFirstBytesMin = 16 * kKiB;
constexpr std::uint64_t kDeflateRatioMax = 1032;   // of the format
constexpr std::uint64_t kZstdRatioGuessed = 1024;  // the format's own is beyond any use
constexpr int kZstdWindowLogMax = 23;

std::string_view name_of(Encoding encoding) { return encoding == Encoding::Gzip ? "gzip" : "zstd"; }

// The unpacked bytes and the room they have, of which one byte more is written than may be kept:
// so it shows whether there is more.
class Output {
 public:
  explicit Output(const UnpackLimits& limits) : limits_(limits) {}

  // Makes room for at least one byte more. False: fault() says why not.
  bool make_room(std::uint64_t announced) {
    if (unpacked_.storage != nullptr && unpacked_.size <= unpacked_.capacity) return true;
    if (unpacked_.size > limits_.bytes_max) {
      fault_ = Refusal{ErrorToken::BodyTooLarge,
                       fmt::format("The unpacked body is larger than the limit of {} bytes "
                                   "(limits.body_bytes_max): send fewer records at a time.",
                                   limits_.bytes_max)};
      return false;
    }
    const std::uint64_t wanted =
        std::max({announced, 2 * unpacked_.capacity, std::uint64_t{kFirstBytesMin}});
    const std::uint64_t capacity = std::min(wanted, limits_.bytes_max);
    if (!limits_.reserve(capacity - unpacked_.capacity)) {
      fault_ = Refusal{ErrorToken::Overloaded,
                       "No memory is left for the unpacked body: send it again later."};
      return false;
    }
    auto storage = std::make_unique_for_overwrite<char[]>(capacity + http::Body::kPadding);
    if (unpacked_.size > 0) std::memcpy(storage.get(), unpacked_.storage.get(), unpacked_.size);
    unpacked_.storage = std::move(storage);
    unpacked_.capacity = capacity;
    return true;
  }
  char* end() { return unpacked_.storage.get() + unpacked_.size; }
  std::size_t room() const { return unpacked_.capacity + 1 - unpacked_.size; }
  void add(std::size_t bytes) { unpacked_.size += bytes; }

  Refusal fault() { return *std::move(fault_); }
  // Whether all of it may be kept is known once there is room for one byte more.
  Unpacked finish() && {
    std::memset(end(), 0, http::Body::kPadding);
    return std::move(unpacked_);
  }

 private:
  const UnpackLimits& limits_;
  Unpacked unpacked_;
  std::optional<Refusal> fault_;
};
static_assert(http::Body::kPadding >= 1);

Refusal malformed(Encoding encoding, std::size_t at, std::string_view what) {
  return {ErrorToken::MalformedBody, fmt::format("The body cannot be unpacked, at byte {} of the "
                                                 "{} data: {}.",
                                                 at, name_of(encoding), what)};
}
constexpr std::string_view kTruncated = "it ends here, but is not complete";

// One step: from `packed` at `at` to the output. What it has taken and made is in `at`, `output`.
enum class Step : std::uint8_t { GoOn, EndOfPart, Failed };

class Inflater {
 public:
  Inflater() {
    constexpr int kGzipAlone = 16;
    SLUICE_ASSERT(inflateInit2(&stream_, MAX_WBITS + kGzipAlone) == Z_OK);
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  Step step(std::string_view packed, std::size_t& at, Output& output) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data() + at));
    stream_.avail_in = static_cast<uInt>(packed.size() - at);
    stream_.next_out = reinterpret_cast<Bytef*>(output.end());
    stream_.avail_out = static_cast<uInt>(output.room());
    const int code = inflate(&stream_, Z_NO_FLUSH);
    at = packed.size() - stream_.avail_in;
    output.add(output.room() - stream_.avail_out);
    if (code == Z_STREAM_END) {
      inflateReset(&stream_);
      return Step::EndOfPart;
    }
    if (code == Z_OK || code == Z_BUF_ERROR) return Step::GoOn;
    reason_ = stream_.msg != nullptr ? stream_.msg : "it is not valid";
    return Step::Failed;
  }
  std::string_view reason() const { return reason_; }

 private:
  z_stream stream_{};
  std::string_view reason_;  // of zlib's constants
};

class ZstdReader {
 public:
  ZstdReader() : context_(ZSTD_createDCtx()) {
    SLUICE_ASSERT(context_ != nullptr);
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kZstdWindowLogMax);
  }

  Step step(std::string_view packed, std::size_t& at, Output& output) {
    ZSTD_inBuffer in{packed.data(), packed.size(), at};
    ZSTD_outBuffer out{output.end(), output.room(), 0};
    const std::size_t code = ZSTD_decompressStream(context_.get(), &out, &in);
    at = in.pos;
    output.add(out.pos);
    if (ZSTD_isError(code) != 0) {
      reason_ = ZSTD_getErrorName(code);
      return Step::Failed;
    }
    return code == 0 ? Step::EndOfPart : Step::GoOn;
  }
  std::string_view reason() const { return reason_; }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  std::unique_ptr<ZSTD_DCtx, Free> context_;
  std::string_view reason_;  // of zstd's constants
};

template <class Reader>
std::variant<Unpacked, Refusal> unpack_parts(Encoding encoding, std::string_view packed,
                                             const UnpackLimits& limits) {
  Reader reader;
  Output output(limits);
  const std::uint64_t announced = announced_size(encoding, packed);
  bool within_part = false;
  for (std::size_t at = 0;;) {
    if (!output.make_room(announced)) return output.fault();
    if (at == packed.size() && !within_part) return std::move(output).finish();
    const std::size_t before = at;
    const std::size_t room = output.room();
    switch (reader.step(packed, at, output)) {
      case Step::EndOfPart: within_part = false; break;
      case Step::GoOn:
        within_part = true;
        if (at == before && output.room() == room) return malformed(encoding, at, kTruncated);
        break;
      case Step::Failed: return malformed(encoding, at, reader.reason());
    }
  }
}

}  // namespace

std::uint64_t announced_size(Encoding encoding, std::string_view packed) {
  if (encoding == Encoding::Gzip && packed.size() >= 4) {
    std::uint32_t size = 0;  // of the last member, little-endian
    for (std::size_t i = 0; i < 4; ++i) {
      const auto byte = static_cast<unsigned char>(packed[packed.size() - 1 - i]);
      size = size << 8 | byte;
    }
    return std::min<std::uint64_t>(size, kDeflateRatioMax * packed.size());
  }
  if (encoding == Encoding::Zstd) {
    const auto size = ZSTD_getFrameContentSize(packed.data(), packed.size());  // of the first frame
    if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR) return 0;
    return std::min<std::uint64_t>(size, kZstdRatioGuessed * packed.size());
  }
  return 0;
}

std::variant<Unpacked, Refusal> unpack(Encoding encoding, std::string_view packed,
                                       const UnpackLimits& limits) {
  SLUICE_ASSERT(encoding != Encoding::Identity);
  return encoding == Encoding::Gzip ? unpack_parts<Inflater>(encoding, packed, limits)
                                    : unpack_parts<ZstdReader>(encoding, packed, limits);
}

}  // namespace sluice::ingest
