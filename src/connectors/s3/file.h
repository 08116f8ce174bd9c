#pragma once
// A batch's records of one kind as a file: its key and its bytes. Pure.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/units.h"
#include "connectors/connector.h"
#include "connectors/s3/config.h"
#include "formats/csv.h"
#include "formats/gzip.h"
#include "model/kind.h"
#include "signing/body_digest.h"

namespace sluice::connectors::s3 {

// While a file is made: then others of the loop have their turn.
inline constexpr std::uint64_t kBytesATurn = 512 * kKiB;

// The batch's first record of that kind; nullopt: it has none.
struct FirstRecord {
  Offset offset;
  std::int64_t stored_s = 0;
};
std::optional<FirstRecord> first_of(const RecordBatch& batch, Kind kind);
FirstRecord first_of(const RecordRun& run);

// The same at every attempt, also after a crash: it follows from the records alone. `first` is the
// batch's first of that kind.
std::string key_of(const Config& config, const RecordBatch& batch, Kind kind,
                   const FirstRecord& first);

// Writes a file block by block, so that no block is ever moved.
class FileWriter {
 public:
  FileWriter(const Config& config, Kind kind);

  void append(std::string_view record);
  void finish();

  // All of them once finished, but for those taken. No block is empty.
  const std::vector<std::string>& blocks() const { return blocks_; }
  std::vector<std::string> take_blocks() { return std::exchange(blocks_, {}); }
  const std::string& sha256() const { return sha256_; }

 private:
  void flush();

  const Format format_;
  const Kind kind_;
  formats::Csv csv_;
  std::unique_ptr<formats::Gzip> gzip_;  // null: as it is
  signing::Sha256 digest_;
  std::string text_;
  std::vector<std::string> blocks_;
  std::string sha256_;
};

std::string_view content_type(const Config& config);

}  // namespace sluice::connectors::s3
