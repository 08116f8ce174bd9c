#include "connectors/s3/file.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "formats/json_lines.h"

namespace sluice::connectors::s3 {
namespace {

constexpr std::size_t kBlockBytes = 256 * kKiB;
constexpr std::size_t kRowBytesUsual = 2 * kKiB;

}  // namespace

std::optional<FirstRecord> first_of(const RecordBatch& batch, Kind kind) {
  for (const RecordRun& run : batch.runs) {
    if (run.chunk->kind == kind) return first_of(run);
  }
  return std::nullopt;
}

FirstRecord first_of(const RecordRun& run) {
  return {plus(run.chunk->first, run.begin), run.chunk->stored.ms / 1000};
}

std::string key_of(const Config& config, const RecordBatch& batch, Kind kind,
                   const FirstRecord& first) {
  const bool usage = kind == Kind::Usage;
  const std::int64_t last_s =
      usage ? batch.delivered_stored.usage_s : batch.delivered_stored.event_s;
  std::string key = config.prefix + (usage ? "cdr_" : "events_");
  key += fmt::format("{:%Y%m%d_%H%M%S}", fmt::gmtime(static_cast<std::time_t>(first.stored_s)));
  if (batch.replay) key += fmt::format("_r{}", batch.replay->value());
  if (batch.test) {
    key += "_test";
  } else if (first.stored_s == last_s || batch.beside_others) {
    key += fmt::format("_{}", first.offset.value());
  }
  key += config.format == Format::Csv ? ".csv" : ".ndjson";
  if (config.gzip) key += ".gz";
  return key;
}

FileWriter::FileWriter(const Config& config, Kind kind)
    : format_(config.format),
      kind_(kind),
      gzip_(config.gzip ? std::make_unique<formats::Gzip>() : nullptr) {
  text_.reserve(kBlockBytes + kRowBytesUsual);
  if (format_ == Format::Csv) text_ = formats::Csv::header(kind);
}

void FileWriter::append(std::string_view record) {
  if (format_ == Format::Csv) {
    csv_.append(text_, kind_, record);
  } else {
    formats::append_json_line(text_, record);
  }
  if (text_.size() >= kBlockBytes) flush();
}

void FileWriter::flush() {
  if (text_.empty()) return;
  if (gzip_ != nullptr) {
    std::string packed;
    gzip_->append(text_, packed);
    text_.clear();
    if (packed.empty()) return;
    digest_.append(packed);
    blocks_.push_back(std::move(packed));
    return;
  }
  digest_.append(text_);
  blocks_.push_back(std::exchange(text_, {}));
  text_.reserve(kBlockBytes + kRowBytesUsual);
}

void FileWriter::finish() {
  flush();
  if (gzip_ != nullptr) {
    std::string rest;
    gzip_->finish(rest);
    digest_.append(rest);
    blocks_.push_back(std::move(rest));
  }
  sha256_ = digest_.hex();
}

std::string_view content_type(const Config& config) {
  if (config.gzip) return "application/gzip";
  return config.format == Format::Csv ? "text/csv; charset=utf-8" : "application/x-ndjson";
}

}  // namespace sluice::connectors::s3
