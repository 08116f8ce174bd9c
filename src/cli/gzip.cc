#include "cli/gzip.h"

#include <zlib.h>

#include "base/assert.h"

namespace sluice::cli {

std::optional<std::string> gzip_if_it_helps(std::string_view text) {
  constexpr std::size_t kWorthwhileBytes = 1024;
  constexpr int kGzip = 16;
  constexpr int kMemoryLevel = 8;  // zlib's default
  if (text.size() < kWorthwhileBytes) return std::nullopt;
  z_stream stream{};
  SLUICE_ASSERT(deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + kGzip, kMemoryLevel,
                             Z_DEFAULT_STRATEGY) == Z_OK);
  std::string packed(text.size() - text.size() / 10, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  const bool fits = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  packed.resize(packed.size() - stream.avail_out);
  deflateEnd(&stream);
  if (!fits) return std::nullopt;
  return packed;
}

}  // namespace sluice::cli
