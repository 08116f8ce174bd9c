#pragma once
// Files of a batch that is not held in memory. They are made twice from its records: first for what
// a request says of its body, then for the body. Both give the same bytes.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/awaitable.h"
#include "base/result.h"
#include "connectors/connector.h"
#include "connectors/s3/config.h"
#include "connectors/s3/file.h"
#include "egress/http_client.h"

namespace sluice::connectors::s3 {

struct FileFacts {
  Kind kind = Kind::Usage;
  FirstRecord first;
  std::uint64_t bytes = 0;
  std::string sha256;
  std::string beginning;  // enough of it to be shown
};

// Of the file of each kind that has records, in the order of kinds. Error: `records` gave it, or
// Timeout at the deadline.
Awaitable<Result<std::vector<FileFacts>>> measure(const Config& config, RecordSource& records,
                                                  const Clock& clock, Deadline deadline);

// A file's bytes, some blocks of them in memory at a time. What it is given outlives it.
class FileBody final : public egress::BodySource {
 public:
  FileBody(const Config& config, Kind kind, RecordSource& records);

  void begin() override;
  Awaitable<Result<std::string_view>> next() override;

 private:
  const Config& config_;
  const Kind kind_;
  RecordSource& records_;
  std::optional<FileWriter> writer_;
  std::optional<RecordRun> run_;  // whose records up to next_record_ are in the writer
  std::uint32_t next_record_ = 0;
  bool ended_ = false;
  std::vector<std::string> blocks_;
  std::size_t next_block_ = 0;
};

}  // namespace sluice::connectors::s3
