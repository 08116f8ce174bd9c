#include "ingest/unpack.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <random>
#include <string>

#include "base/units.h"
#include "http/server.h"

namespace sluice::ingest {
namespace {

using http::ErrorToken;

std::string gzipped(std::string_view text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(deflateBound(&stream, text.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(packed.size() - stream.avail_out);
  deflateEnd(&stream);
  return packed;
}

struct ZstdForm {
  bool sized = true;  // the frame says how large it becomes
  int window_log = 0;
};
std::string zstandard(std::string_view text, ZstdForm form = {}) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, form.sized ? 1 : 0);
  if (form.window_log > 0) {
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, form.window_log);
  }
  std::string packed(ZSTD_compressBound(text.size()) + 32, '\0');
  ZSTD_inBuffer in{text.data(), text.size(), 0};
  ZSTD_outBuffer out{packed.data(), packed.size(), 0};
  // In two steps, so that the size is not known in front.
  if (!form.sized) {
    EXPECT_EQ(ZSTD_isError(ZSTD_compressStream2(context, &out, &in, ZSTD_e_flush)), 0u);
  }
  EXPECT_EQ(ZSTD_compressStream2(context, &out, &in, ZSTD_e_end), 0u);
  packed.resize(out.pos);
  ZSTD_freeCCtx(context);
  return packed;
}

std::string pack(Encoding encoding, std::string_view text) {
  return encoding == Encoding::Gzip ? gzipped(text) : zstandard(text);
}

std::string random_text(std::mt19937_64& random, std::size_t size) {
  std::string text(size, '\0');
  for (char& c : text) c = "{}[]\":,0123456789abc \n"[random() % 22];
  return text;
}

class UnpackTest : public testing::TestWithParam<Encoding> {
 protected:
  UnpackTest() {
    limits_.bytes_max = 1 << 20;
    limits_.reserve = [this](std::uint64_t bytes) {
      reserved_ += bytes;
      return reserved_ <= room_;
    };
  }
  std::variant<Unpacked, Refusal> read(std::string_view packed) {
    reserved_ = 0;
    return unpack(GetParam(), packed, limits_);
  }
  std::string accept(std::string_view packed) {
    auto result = read(packed);
    if (const Refusal* const refusal = std::get_if<Refusal>(&result)) {
      ADD_FAILURE() << refusal->message;
      return {};
    }
    const Unpacked& unpacked = std::get<Unpacked>(result);
    EXPECT_LE(unpacked.size, unpacked.capacity);
    EXPECT_EQ(unpacked.capacity, reserved_);
    EXPECT_EQ(std::string(unpacked.storage.get() + unpacked.size, http::Body::kPadding),
              std::string(http::Body::kPadding, '\0'));
    return {unpacked.storage.get(), unpacked.size};
  }
  // Without a refusal: a failed test.
  Refusal refuse(std::string_view packed) {
    auto result = read(packed);
    if (const Refusal* const refusal = std::get_if<Refusal>(&result)) return *refusal;
    ADD_FAILURE() << "unpacked";
    return {};
  }
  std::string pack(std::string_view text) const { return ingest::pack(GetParam(), text); }

  UnpackLimits limits_;
  std::uint64_t reserved_ = 0;
  std::uint64_t room_ = 1 << 30;
};

INSTANTIATE_TEST_SUITE_P(, UnpackTest, testing::Values(Encoding::Gzip, Encoding::Zstd),
                         [](const auto& test) {
                           return test.param == Encoding::Gzip ? "Gzip" : "Zstd";
                         });

TEST_P(UnpackTest, ReturnsWhatWasPacked) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937_64 random(seed);
  for (const std::size_t size :
       {0ul, 1ul, 100ul, 16383ul, 16384ul, 16385ul, 100'000ul, 1048575ul, 1048576ul}) {
    const std::string text = random_text(random, size);
    EXPECT_TRUE(accept(pack(text)) == text) << size;
  }
}

TEST_P(UnpackTest, TakesPartsOneBehindTheOther) {
  EXPECT_EQ(accept(pack("[1") + pack("") + pack(",2]")), "[1,2]");
  const std::string large(200'000, 'x');
  EXPECT_TRUE(accept(pack(large) + pack("y")) == large + "y") << "the hint is of one part alone";
}

TEST_P(UnpackTest, NothingIsAnEmptyBody) { EXPECT_EQ(accept(""), ""); }

TEST_P(UnpackTest, RefusesWhatIsNotItsFormat) {
  const Encoding other = GetParam() == Encoding::Gzip ? Encoding::Zstd : Encoding::Gzip;
  for (const std::string& packed : {std::string("{\"id\":1}"), ingest::pack(other, "{}"),
                                    std::string(1, '\0'), std::string(100, '\xff')}) {
    EXPECT_EQ(refuse(packed).token, ErrorToken::MalformedBody);
  }
}

TEST_P(UnpackTest, RefusesWhatFollowsTheEnd) {
  for (const char* const rest : {"x", "\n", "rubbish behind it all, and more of it"}) {
    const Refusal refusal = refuse(pack("[]") + rest);
    EXPECT_EQ(refusal.token, ErrorToken::MalformedBody) << rest;
    EXPECT_NE(refusal.message.find("byte"), std::string::npos);
  }
  EXPECT_EQ(refuse(pack("[]") + std::string(8, '\0')).token, ErrorToken::MalformedBody);
}

TEST_P(UnpackTest, RefusesEachTruncation) {
  std::mt19937_64 random(1);
  const std::string packed = pack(random_text(random, 300)) + pack("end");
  const std::size_t whole = pack("end").size();
  for (std::size_t size = 1; size < packed.size(); ++size) {
    if (size == packed.size() - whole) continue;  // the first part is whole
    EXPECT_EQ(refuse(std::string_view(packed).substr(0, size)).token, ErrorToken::MalformedBody)
        << size;
  }
}

TEST_P(UnpackTest, NoticesDamage) {
  std::mt19937_64 random(2);
  const std::string packed = pack(random_text(random, 5000));
  std::string damaged = packed;
  damaged[damaged.size() - 2] ^= 1;  // gzip: the size; zstd: the checksum
  EXPECT_EQ(refuse(damaged).token, ErrorToken::MalformedBody);
  damaged = packed;
  damaged[packed.size() / 2] ^= 0x10;
  EXPECT_EQ(refuse(damaged).token, ErrorToken::MalformedBody);
}

TEST_P(UnpackTest, HoldsTheLimitToTheByte) {
  EXPECT_EQ(accept(pack(std::string(1 << 20, ' '))).size(), 1u << 20);
  const Refusal refusal = refuse(pack(std::string((1 << 20) + 1, ' ')));
  EXPECT_EQ(refusal.token, ErrorToken::BodyTooLarge);
  EXPECT_NE(refusal.message.find("1048576 bytes"), std::string::npos);
  EXPECT_NE(refusal.message.find("body_bytes_max"), std::string::npos);
}

TEST_P(UnpackTest, StopsABombAtTheLimit) {
  const std::string bomb = pack(std::string(64 << 20, '0'));
  EXPECT_EQ(refuse(bomb).token, ErrorToken::BodyTooLarge);
  EXPECT_LE(reserved_, limits_.bytes_max);
  std::string many;
  for (int i = 0; i < 20; ++i) many += bomb;
  EXPECT_EQ(refuse(many).token, ErrorToken::BodyTooLarge);
}

TEST_P(UnpackTest, AsksBeforeItTakesMemory) {
  std::mt19937_64 random(3);
  const std::string packed = pack(random_text(random, 600'000));
  room_ = 500'000;
  EXPECT_EQ(refuse(packed).token, ErrorToken::Overloaded);
  room_ = 600'000;
  EXPECT_EQ(accept(packed).size(), 600'000u) << "its size is announced: no more than that";
}

TEST(Unpack, ZstdFramesMayHideTheirSizeAndBeSkipped) {
  const std::string text(300'000, 'x');
  const auto unpacked = unpack(Encoding::Zstd, zstandard(text, {.sized = false}), {});
  ASSERT_TRUE(std::holds_alternative<Unpacked>(unpacked));
  EXPECT_EQ(std::get<Unpacked>(unpacked).size, text.size());

  const std::string skippable("\x50\x2A\x4D\x18\x03\x00\x00\x00xyz", 11);
  const auto skipped = unpack(Encoding::Zstd, skippable + zstandard("[]") + skippable, {});
  ASSERT_TRUE(std::holds_alternative<Unpacked>(skipped));
  EXPECT_EQ(std::get<Unpacked>(skipped).size, 2u);
}

TEST(Unpack, ZstdWindowsEndAt8MiB) {
  const std::string text(9 << 20, 'x');
  const auto fits = unpack(Encoding::Zstd, zstandard(text, {.sized = false, .window_log = 23}), {});
  EXPECT_TRUE(std::holds_alternative<Unpacked>(fits));
  const auto beyond =
      unpack(Encoding::Zstd, zstandard(text, {.sized = false, .window_log = 24}), {});
  EXPECT_TRUE(std::holds_alternative<Refusal>(beyond));
}

TEST(Unpack, AnnouncedSizesLieOnlyAsFarAsTheirFormatCould) {
  EXPECT_EQ(announced_size(Encoding::Gzip, gzipped(std::string(5000, 'x'))), 5000u);
  EXPECT_EQ(announced_size(Encoding::Zstd, zstandard(std::string(5000, 'x'))), 5000u);
  EXPECT_EQ(announced_size(Encoding::Gzip, "\xff\xff\xff\xff"), 4 * 1032u);
  EXPECT_EQ(announced_size(Encoding::Gzip, "xy"), 0u);
  EXPECT_EQ(announced_size(Encoding::Zstd, "rubbish"), 0u);
  EXPECT_EQ(announced_size(Encoding::Identity, "12345"), 0u);
}

}  // namespace
}  // namespace sluice::ingest
