#include "formats/gzip.h"

#include <zlib.h>

#include <array>

#include "base/assert.h"

namespace sluice::formats {
namespace {

constexpr int kWindowBits = 15 + 16;  // 16: gzip's frame, with no time and no name in it
constexpr int kMemoryLevel = 8;       // zlib's default

}  // namespace

struct Gzip::Stream {
  z_stream z{};
};

Gzip::Gzip() : stream_(std::make_unique<Stream>()) {
  SLUICE_ASSERT(deflateInit2(&stream_->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kWindowBits,
                             kMemoryLevel, Z_DEFAULT_STRATEGY) == Z_OK);
}

Gzip::~Gzip() { deflateEnd(&stream_->z); }

void Gzip::append(std::string_view plain, std::string& out) { run(plain, Z_NO_FLUSH, out); }

void Gzip::finish(std::string& out) { run("", Z_FINISH, out); }

void Gzip::run(std::string_view plain, int flush, std::string& out) {
  z_stream& z = stream_->z;
  std::array<char, 16 * 1024> room;
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  z.avail_in = static_cast<uInt>(plain.size());
  int done = Z_OK;
  do {
    z.next_out = reinterpret_cast<Bytef*>(room.data());
    z.avail_out = room.size();
    done = deflate(&z, flush);
    SLUICE_ASSERT(done == Z_OK || done == Z_STREAM_END || done == Z_BUF_ERROR);
    out.append(room.data(), room.size() - z.avail_out);
  } while (z.avail_out == 0 || (flush == Z_FINISH && done != Z_STREAM_END));
}

}  // namespace sluice::formats
