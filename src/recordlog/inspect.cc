#include "recordlog/inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "recordlog/local/chunk_decode.h"
#include "recordlog/local/partition_files.h"
#include "recordlog/local/recovery.h"
#include "recordlog/local/scan.h"

namespace sluice::recordlog {
namespace {

using Found = FrameWalker::Found;

struct PartitionFiles {
  std::uint32_t number = 0;
  std::string directory;
  std::optional<SyncedMark> mark;        // read before the list, so it speaks of what is in it
  std::vector<std::uint64_t> sequences;  // ascending

  std::string path(std::uint64_t sequence) const {
    return directory + "/" + segment_name(sequence);
  }
};

std::optional<std::uint32_t> partition_from_name(std::string_view name) {
  std::uint32_t number = 0;
  if (name.size() < 2 || name[0] != 'p') return std::nullopt;
  const auto [end, error] = std::from_chars(name.data() + 1, name.data() + name.size(), number);
  if (error != std::errc{} || end != name.data() + name.size()) return std::nullopt;
  return number;
}

Result<std::vector<PartitionFiles>> list_partitions(FileSystem& fs, const std::string& directory) {
  const Result<std::vector<std::string>> names = fs.list(directory);
  if (!names) return names.error();
  std::vector<PartitionFiles> partitions;
  for (const std::string& name : *names) {
    const auto number = partition_from_name(name);
    if (!number) continue;
    PartitionFiles files{*number, fmt::format("{}/{}", directory, name), {}, {}};
    const Result<std::optional<SyncedMark>> mark = SyncedMarkFile(fs, files.directory).read();
    if (!mark) return mark.error();
    files.mark = *mark;
    const Result<std::vector<std::string>> segments = fs.list(files.directory);
    if (!segments) return segments.error();
    for (const std::string& segment : *segments) {
      if (const auto sequence = sequence_from_name(segment)) files.sequences.push_back(*sequence);
    }
    partitions.push_back(std::move(files));
  }
  if (partitions.empty()) {
    return Error{ErrorCode::NotFound, directory + " holds no record log (no directory p0)"};
  }
  std::sort(partitions.begin(), partitions.end(),
            [](const auto& a, const auto& b) { return a.number < b.number; });
  return partitions;
}

// Null: retention was faster.
Result<std::unique_ptr<File>> open_if_there(FileSystem& fs, const std::string& path) {
  Result<std::unique_ptr<File>> file = fs.open(path, OpenMode::Read);
  if (!file && file.error().code == ErrorCode::NotFound) return std::unique_ptr<File>();
  return file;
}

Result<std::shared_ptr<const Chunk>> decode(std::string_view frame) {
  auto copy = std::make_unique_for_overwrite<std::byte[]>(frame.size());
  std::memcpy(copy.get(), frame.data(), frame.size());
  return decode_chunk(std::move(copy), frame.size());
}

Result<SegmentSummary> summarize(const File& file, SegmentSummary summary) {
  const Result<std::uint64_t> size = file.size();
  if (!size) return size.error();
  summary.bytes = *size;
  summary.sealed = read_index_organisations(file).has_value();
  std::map<std::uint64_t, bool> organisations;
  FrameWalker walker(file);
  for (;;) {
    const Result<FrameWalker::Step> step = walker.next();
    if (!step) return step.error();
    if (step->found == Found::Index || step->found == Found::End) break;
    if (step->found != Found::Chunk) continue;
    organisations[step->header.organisation] = true;
    ++summary.chunks;
    summary.records += step->header.count;
    summary.marks += read_marks(step->frame, step->header).size();
    if (summary.first_stored.ms == 0) summary.first_stored = {step->header.stored_ms};
    summary.last_stored = {step->header.stored_ms};
  }
  summary.organisations = organisations.size();
  return summary;
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// But for what the footer says about damage.
bool same_chunks(const SegmentIndex& a, SegmentIndex b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (std::size_t i = 0; i < b.entries.size(); ++i) b.entries[i].flags = a.entries[i].flags;
  return same(a.organisations, b.organisations) && same(a.entries, b.entries);
}

// Walks the segments of one partition in order.
class PartitionVerifier {
 public:
  PartitionVerifier(FileSystem& fs, const PartitionFiles& files, std::vector<Finding>& findings)
      : fs_(fs), files_(files), findings_(findings) {}

  Result<void> run() {
    for (std::size_t i = 0; i < files_.sequences.size(); ++i) {
      const std::uint64_t sequence = files_.sequences[i];
      path_ = files_.path(sequence);
      if (i > 0 && sequence != files_.sequences[i - 1] + 1) {
        report(Finding::Severity::Damage, 0,
               fmt::format("{} segments are missing before this one",
                           sequence - files_.sequences[i - 1] - 1));
      }
      const Result<std::unique_ptr<File>> file = open_if_there(fs_, path_);
      if (!file) return file.error();
      if (!*file) continue;
      if (auto verified = verify_segment(**file, sequence); !verified) return verified;
    }
    if (files_.mark && !files_.sequences.empty() &&
        files_.mark->sequence > files_.sequences.back()) {
      report(Finding::Severity::Damage, 0, "newer segments than this one are missing");
    }
    return {};
  }

 private:
  void report(Finding::Severity severity, std::uint64_t position, std::string message) {
    findings_.push_back({severity, path_, position, std::move(message), {}, {}, {}});
  }

  Result<void> verify_segment(const File& file, std::uint64_t sequence) {
    if (auto checked = verify_header(file, sequence); !checked) return checked;
    const Result<SegmentIndex> footer = read_index(file);
    if (!footer && footer.error().code != ErrorCode::Corruption) return footer.error();
    const Result<std::vector<IndexMark>> footer_marks = read_index_marks(file);
    if (!footer_marks && footer_marks.error().code != ErrorCode::Corruption) {
      return footer_marks.error();
    }
    GrowingIndex found;
    bool all_read = true;
    FrameWalker walker(file);
    FrameWalker::Step step;
    for (;;) {
      Result<FrameWalker::Step> next = walker.next();
      if (!next) return next.error();
      step = *next;
      if (step.found == Found::Index || step.found == Found::End) break;
      all_read &= step.found == Found::Chunk;
      if (step.found == Found::Gap) note_gap(step);
      if (step.found == Found::Unreadable || step.header.count == 0) continue;
      found.add(OrganisationId{step.header.organisation},
                make_entry(step.header, step.position, step.found != Found::Chunk));
      if (step.found != Found::Chunk) continue;
      verify_chunk(step);
      found.add_marks(step.header, read_marks(step.frame, step.header));
    }
    if (step.found == Found::Index && !footer) {
      report(Finding::Severity::Damage, step.position,
             "the footer is damaged; it is rebuilt from the chunks when it is needed");
    }
    const bool right_marks = !all_read || !footer_marks || same(*footer_marks, found.marks());
    if (footer && (!same_chunks(*footer, found.finish()) || !right_marks)) {
      report(Finding::Severity::Damage, step.position, "the footer does not agree with the chunks");
    }
    return report_regions(file, sequence);
  }

  Result<void> verify_header(const File& file, std::uint64_t sequence) {
    std::string bytes(sizeof(SegmentHeader), '\0');
    const Result<std::size_t> got = file.read_at(0, bytes);
    if (!got) return got.error();
    const auto header = read_segment_header(std::string_view(bytes).substr(0, *got));
    if (!header) {
      report(Finding::Severity::Damage, 0,
             "the segment's header is damaged; nothing is lost by it");
    } else if (header->version != kFormatVersion || header->sequence != sequence ||
               header->partition != files_.number) {
      report(Finding::Severity::Damage, 0, "the segment's header belongs to another file");
    }
    return {};
  }

  void verify_chunk(const FrameWalker::Step& step) {
    const OrganisationId organisation{step.header.organisation};
    const Offset first{step.header.first_offset};
    const Offset end = plus(first, step.header.count);
    const auto describe = [&](Finding::Severity severity, std::string message, Offset from,
                              Offset to) {
      findings_.push_back(
          {severity, path_, step.position, std::move(message), organisation, from, to});
    };
    if (const auto chunk = decode(step.frame); !chunk) {
      describe(Finding::Severity::Damage, chunk.error().message, first, end);
    }
    const auto [known, is_new] = ends_.try_emplace(organisation, end);
    if (is_new) return;
    if (first < known->second) {
      describe(Finding::Severity::Damage, "offsets are used twice", first, known->second);
    } else if (first > known->second) {
      describe(Finding::Severity::Note, "offsets in no chunk: a failed write used them, or damage",
               known->second, first);
    }
    known->second = std::max(known->second, end);
  }

  void note_gap(const FrameWalker::Step& step) {
    report(Finding::Severity::Note, step.position,
           fmt::format("{} bytes were damaged; they were moved to quarantine", step.bytes));
    if (step.header.count == 0) return;
    Finding& finding = findings_.back();
    finding.organisation = OrganisationId{step.header.organisation};
    finding.first = Offset{step.header.first_offset};
    finding.end = plus(finding.first, step.header.count);
    Offset& known = ends_[*finding.organisation];
    known = std::max(known, finding.end);
  }

  // What cannot be read, judged as recovery judges it.
  Result<void> report_regions(const File& file, std::uint64_t sequence) {
    const Result<std::unique_ptr<File>> next = open_if_there(fs_, files_.path(sequence + 1));
    if (!next) return next.error();
    const Result<SyncedEnd> end = find_synced_end(sequence, next->get(), files_.mark);
    if (!end) return end.error();
    const Result<ScannedSegment> scanned = scan_segment(file, *end);
    if (!scanned) return scanned.error();
    for (const ScannedSegment::Region& region : scanned->damage) {
      report(Finding::Severity::Damage, region.position,
             fmt::format("{} bytes are damaged", region.bytes));
      if (region.chunk) {
        Finding& finding = findings_.back();
        finding.organisation = OrganisationId{region.chunk->organisation};
        finding.first = Offset{region.chunk->first_offset};
        finding.end = plus(finding.first, region.chunk->count);
      }
    }
    if (scanned->torn_tail) {
      report(Finding::Severity::Note, scanned->torn_tail->position,
             fmt::format("{} bytes of an unfinished write", scanned->torn_tail->bytes));
    }
    return {};
  }

  FileSystem& fs_;
  const PartitionFiles& files_;
  std::vector<Finding>& findings_;
  std::string path_;
  std::map<OrganisationId, Offset> ends_;
};

Result<void> records_of(const File& file, const std::function<void(const FoundRecord&)>& callback) {
  FrameWalker walker(file);
  for (;;) {
    const Result<FrameWalker::Step> step = walker.next();
    if (!step) return step.error();
    if (step->found == Found::Index || step->found == Found::End) return {};
    if (step->found != Found::Chunk) continue;
    const auto chunk = decode(step->frame);
    if (!chunk) continue;
    for (std::uint32_t i = 0; i < (*chunk)->count(); ++i) {
      callback({(*chunk)->organisation, (*chunk)->kind, plus((*chunk)->first, i), (*chunk)->stored,
                (*chunk)->record(i), (*chunk)->columns[i]});
    }
  }
}

}  // namespace

Result<std::vector<SegmentSummary>> inspect_log(FileSystem& fs, const std::string& directory) {
  const auto partitions = list_partitions(fs, directory);
  if (!partitions) return partitions.error();
  std::vector<SegmentSummary> summaries;
  for (const PartitionFiles& files : *partitions) {
    for (const std::uint64_t sequence : files.sequences) {
      SegmentSummary summary;
      summary.partition = files.number;
      summary.sequence = sequence;
      summary.path = files.path(sequence);
      const Result<std::unique_ptr<File>> file = open_if_there(fs, summary.path);
      if (!file) return file.error();
      if (!*file) continue;
      Result<SegmentSummary> filled = summarize(**file, std::move(summary));
      if (!filled) return filled.error();
      summaries.push_back(*std::move(filled));
    }
  }
  return summaries;
}

Result<std::vector<Finding>> verify_log(FileSystem& fs, const std::string& directory) {
  const auto partitions = list_partitions(fs, directory);
  if (!partitions) return partitions.error();
  std::vector<Finding> findings;
  for (const PartitionFiles& files : *partitions) {
    if (auto run = PartitionVerifier(fs, files, findings).run(); !run) return run.error();
  }
  return findings;
}

Result<void> for_each_record(FileSystem& fs, const std::string& directory,
                             const std::function<void(const FoundRecord&)>& callback) {
  const auto partitions = list_partitions(fs, directory);
  if (!partitions) return partitions.error();
  for (const PartitionFiles& files : *partitions) {
    for (const std::uint64_t sequence : files.sequences) {
      const Result<std::unique_ptr<File>> file = open_if_there(fs, files.path(sequence));
      if (!file) return file.error();
      if (!*file) continue;
      if (auto read = records_of(**file, callback); !read) return read;
    }
  }
  return {};
}

}  // namespace sluice::recordlog
