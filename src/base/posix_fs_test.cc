#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/uio.h>

#include <array>
#include <filesystem>
#include <string>

#include "base/fs.h"

namespace sluice {
namespace {

class PosixFs : public testing::Test {
 protected:
  PosixFs() {
    std::string name = testing::TempDir() + "sluice-fs-XXXXXX";
    directory_ = mkdtemp(name.data());
  }
  ~PosixFs() override { std::filesystem::remove_all(directory_); }

  FileSystem& fs_ = posix_file_system();
  std::string directory_;
};

TEST_F(PosixFs, WritesAreGatheredAndReadBack) {
  auto file = fs_.open(directory_ + "/a", OpenMode::CreateNew);
  ASSERT_TRUE(file.has_value());
  // More buffers than one pwritev takes (IOV_MAX is 1024), so that the loop over them is used.
  std::string text(3000, 'x');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 26);
  std::vector<iovec> buffers;
  for (char& c : text) buffers.push_back({&c, 1});
  ASSERT_TRUE((*file)->write_at(5, buffers).has_value());
  ASSERT_TRUE((*file)->sync_data().has_value());

  std::array<char, 4000> into;
  const auto got = (*file)->read_at(5, into);
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(std::string_view(into.data(), *got), text);
  EXPECT_EQ(*(*file)->size(), 3005u);
}

TEST_F(PosixFs, ReportsWhatIsThere) {
  ASSERT_TRUE(fs_.create_directories(directory_ + "/b/c").has_value());
  ASSERT_TRUE(fs_.open(directory_ + "/b/f2", OpenMode::CreateNew).has_value());
  ASSERT_TRUE(fs_.open(directory_ + "/b/f1", OpenMode::CreateNew).has_value());
  EXPECT_EQ(*fs_.list(directory_ + "/b"), (std::vector<std::string>{"c", "f1", "f2"}));
  EXPECT_TRUE(*fs_.exists(directory_ + "/b/f1"));
  ASSERT_TRUE(fs_.rename(directory_ + "/b/f1", directory_ + "/b/f3").has_value());
  EXPECT_FALSE(*fs_.exists(directory_ + "/b/f1"));
  ASSERT_TRUE(fs_.remove(directory_ + "/b/f3").has_value());
  ASSERT_TRUE(fs_.sync_directory(directory_ + "/b").has_value());
}

TEST_F(PosixFs, ErrorsTellWhatAProgramDecidesOn) {
  EXPECT_EQ(fs_.open(directory_ + "/none", OpenMode::Read).error().code, ErrorCode::NotFound);
  ASSERT_TRUE(fs_.open(directory_ + "/a", OpenMode::CreateNew).has_value());
  const auto twice = fs_.open(directory_ + "/a", OpenMode::CreateNew);
  EXPECT_EQ(twice.error().code, ErrorCode::Io);
  EXPECT_NE(twice.error().message.find(directory_ + "/a"), std::string::npos);
  auto full = fs_.open("/dev/full", OpenMode::ReadWrite);
  ASSERT_TRUE(full.has_value());
  char byte = 'x';
  const iovec buffer{&byte, 1};
  EXPECT_EQ((*full)->write_at(0, {&buffer, 1}).error().code, ErrorCode::ResourceExhausted);
}

}  // namespace
}  // namespace sluice
