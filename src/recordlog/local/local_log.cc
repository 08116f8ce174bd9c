#include "recordlog/local/local_log.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>

#include "base/logging.h"
#include "recordlog/local/partition.h"
#include "recordlog/local/partition_files.h"
#include "recordlog/local/reader.h"

namespace sluice::recordlog {
namespace {

constexpr std::string_view kFormatName = "format";
constexpr std::string_view kFormatBegin = "sluice record log ";
constexpr std::uint32_t kPartitionsMax = 256;

class LocalLogImpl final : public LocalLog {
 public:
  LocalLogImpl(std::unique_ptr<LogContext> context, std::vector<RecoveredPartition> recovered)
      : context_(std::move(context)) {
    for (std::uint32_t i = 0; i < recovered.size(); ++i) {
      partitions_.push_back(std::make_unique<Partition>(*context_, i, std::move(recovered[i])));
    }
  }
  ~LocalLogImpl() override {
    for (const auto& partition : partitions_) partition->stop();
  }

  void append(AppendRequest request, AppendDone done) override;
  void set_observer(AppendObserver* observer) override { context_->observer.set(observer); }

  std::unique_ptr<Reader> reader(OrganisationId organisation, KindSet kinds) override {
    return std::make_unique<LocalReader>(*context_, partition_of(organisation), organisation,
                                         kinds);
  }
  Offset end(OrganisationId organisation) const override {
    return partition_of(organisation).end(organisation);
  }
  Result<Offset> offset_at(OrganisationId organisation, WallTime time) override;
  std::vector<StoredPiece> stored_pieces(const std::array<std::uint8_t, 16>& key) const override {
    return context_->marks.find(key, context_->clock.now());
  }
  Statistics statistics() const override;
  Result<void> health() const override;
  void set_lowest_cursors(std::function<std::optional<LowestCursors>()> ask) override {
    context_->budget.set_lowest_cursors(std::move(ask));
  }
  void run_retention() override {
    for (const auto& partition : partitions_) partition->run_retention();
  }

 private:
  std::size_t number_of(OrganisationId organisation) const {
    return mix(organisation.value()) % partitions_.size();
  }
  Partition& partition_of(OrganisationId organisation) const {
    return *partitions_[number_of(organisation)];
  }

  const std::unique_ptr<LogContext> context_;
  std::vector<std::unique_ptr<Partition>> partitions_;
};

void LocalLogImpl::append(AppendRequest request, AppendDone done) {
  struct PartOf {
    std::size_t partition;
    Partition::Part part;
  };
  std::vector<PartOf> parts;
  std::uint64_t bytes = 0;
  for (std::uint32_t i = 0; i < request.groups.size(); ++i) {
    const NewRecords& group = request.groups[i];
    if (group.records.empty()) continue;
    const std::size_t partition = number_of(group.organisation);
    auto found = std::find_if(parts.begin(), parts.end(),
                              [&](const PartOf& part) { return part.partition == partition; });
    if (found == parts.end()) found = parts.insert(parts.end(), {partition, {}});
    std::uint64_t group_bytes = 0;
    for (const NewRecord& record : group.records) {
      group_bytes += record.bytes.size() + sizeof(RecordColumns);
    }
    found->part.groups.push_back(i);
    found->part.bytes += group_bytes;
    bytes += group_bytes;
  }
  if (parts.empty()) return done({});
  if (request.mark && !context_->marks.takes(request.mark->key, context_->clock.now())) {
    return done(Error{
        ErrorCode::Unavailable,
        fmt::format("{} idempotency keys are remembered, as many as limits.idempotency_keys_max: "
                    "send the request later, or without a key",
                    context_->settings.request_keys_max)});
  }
  const std::uint64_t waiting = context_->queue_bytes.fetch_add(bytes, std::memory_order_relaxed);
  if (waiting > 0 && waiting + bytes > context_->settings.append_queue_bytes_max) {
    context_->queue_bytes.fetch_sub(bytes, std::memory_order_relaxed);
    return done(Error{ErrorCode::ResourceExhausted, "too much is waiting for the disk"});
  }
  context_->metrics.queue_bytes.add(static_cast<double>(bytes));
  const auto append = std::make_shared<PendingAppend>();
  append->request = std::move(request);
  append->done = std::move(done);
  append->bytes = bytes;
  append->parts_left = static_cast<std::uint32_t>(parts.size());
  for (PartOf& part : parts) {
    part.part.append = append;
    partitions_[part.partition]->push(std::move(part.part));
  }
}

Result<Offset> LocalLogImpl::offset_at(OrganisationId organisation, WallTime time) {
  const Partition& partition = partition_of(organisation);
  const Offset end = partition.end(organisation);
  const std::shared_ptr<const SegmentList> list = partition.segments();
  for (const std::shared_ptr<Segment>& segment : *list) {
    if (segment->newest_stored() < time || !segment->first_offset(organisation)) continue;
    const auto entry = segment->find_stored(organisation, time, *context_);
    if (!entry && entry.error().code == ErrorCode::NotFound) continue;  // retention was faster
    if (!entry) return entry.error();
    if (*entry) return std::min(Offset{(*entry)->first_offset}, end);
  }
  return end;
}

Statistics LocalLogImpl::statistics() const {
  Statistics statistics;
  for (const auto& partition : partitions_) {
    const std::shared_ptr<const SegmentList> list = partition->segments();
    statistics.segments += list->size();
    for (const auto& segment : *list) statistics.bytes += segment->bytes();
  }
  statistics.append_queue_bytes = context_->queue_bytes.load(std::memory_order_relaxed);
  statistics.request_marks = context_->marks.keys();
  statistics.quarantined_chunks = context_->quarantine->damaged();
  return statistics;
}

Result<void> LocalLogImpl::health() const {
  for (const auto& partition : partitions_) {
    if (auto healthy = partition->health(); !healthy) return healthy;
  }
  if (const std::uint64_t damaged = context_->quarantine->damaged(); damaged > 0) {
    return Error{ErrorCode::Corruption, fmt::format("{} damaged places of the log were copied to "
                                                    "{}/quarantine; look at "
                                                    "them, then delete the copies and restart",
                                                    damaged, context_->settings.directory)};
  }
  return {};
}

Result<void> check_settings(const LocalSettings& settings) {
  const auto refuse = [](std::string_view what) {
    return Error{ErrorCode::InvalidArgument, std::string(what)};
  };
  if (settings.directory.empty()) return refuse("the record log needs a directory");
  if (settings.partitions < 1 || settings.partitions > kPartitionsMax) {
    return refuse("the record log's partitions must be 1 to 256");
  }
  if (settings.segment_bytes < 64 * kKiB || settings.segment_bytes > 1 * kGiB) {
    return refuse("the record log's segments must be 64 KiB to 1 GiB");
  }
  if (settings.retention_s < 1) return refuse("the record log's retention must be at least 1 s");
  return {};
}

// What the text says of a directory of this version; 0: it is none.
std::uint32_t partitions_in(std::string_view text) {
  std::uint32_t partitions = 0;
  const std::string before = fmt::format("{}{}\npartitions ", kFormatBegin, kFormatVersion);
  if (!text.starts_with(before)) return 0;
  text.remove_prefix(before.size());
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), partitions);
  const bool whole =
      error == std::errc() && std::string_view(end, text.data() + text.size()) == "\n";
  return whole && partitions <= kPartitionsMax ? partitions : 0;
}

// An existing directory keeps its number of partitions, a new one gets that of the settings. Damage
// in the text that says so is repaired: there are as many directories, and every segment says it.
Result<void> settle_format(FileSystem& fs, LocalSettings& settings) {
  const std::string path = settings.directory + "/" + std::string(kFormatName);
  const Result<std::string> found = read_file(fs, path);
  if (!found && found.error().code != ErrorCode::NotFound) return found.error();
  if (found) {
    if (const std::uint32_t partitions = partitions_in(*found)) {
      settings.partitions = partitions;
      return {};
    }
    if (found->starts_with(kFormatBegin)) {
      return Error{
          ErrorCode::InvalidArgument,
          fmt::format("{} is of another version than this program's, {}", path, kFormatVersion)};
    }
  }
  const Result<std::uint32_t> there = count_partitions(fs, settings.directory);
  if (!there) return there.error();
  if (*there > 0) settings.partitions = *there;
  return replace_file(
      fs, settings.directory, std::string(kFormatName),
      fmt::format("{}{}\npartitions {}\n", kFormatBegin, kFormatVersion, settings.partitions));
}

Result<void> make_directories(FileSystem& fs, const LocalSettings& settings) {
  const std::string quarantine = settings.directory + "/quarantine";
  if (auto made = fs.create_directories(quarantine); !made) return made;
  for (std::uint32_t i = 0; i < settings.partitions; ++i) {
    auto made = fs.create_directories(fmt::format("{}/p{}", settings.directory, i));
    if (!made) return made;
  }
  if (auto synced = fs.sync_directory(settings.directory); !synced) return synced;
  const std::string parent = std::filesystem::path(settings.directory).parent_path();
  return fs.sync_directory(parent.empty() ? "." : parent);
}

}  // namespace

Result<std::unique_ptr<LocalLog>> open_local(LocalSettings settings,
                                             LocalDependencies dependencies) {
  if (auto checked = check_settings(settings); !checked) return checked.error();
  while (settings.directory.size() > 1 && settings.directory.back() == '/') {
    settings.directory.pop_back();
  }
  FileSystem& fs = dependencies.fs;
  if (auto made = fs.create_directories(settings.directory); !made) return made.error();
  if (auto settled = settle_format(fs, settings); !settled) return settled.error();
  if (auto made = make_directories(fs, settings); !made) return made.error();
  auto quarantine = Quarantine::open(fs, settings.directory + "/quarantine", dependencies.metrics);
  if (!quarantine) return quarantine.error();
  auto context =
      std::make_unique<LogContext>(std::move(settings), dependencies, *std::move(quarantine));
  std::vector<RecoveredPartition> recovered;
  WallTime newest;
  for (std::uint32_t i = 0; i < context->settings.partitions; ++i) {
    Result<RecoveredPartition> partition = recover_partition(*context, i);
    if (!partition) return partition.error();
    newest = std::max(newest, partition->last_stored);
    recovered.push_back(*std::move(partition));
  }
  context->retention_guard = std::make_unique<RetentionGuard>(
      RetentionGuard::Options{context->settings.directory, newest, context->settings.retention_s},
      fs, dependencies.clock, dependencies.metrics);
  return std::unique_ptr<LocalLog>(
      std::make_unique<LocalLogImpl>(std::move(context), std::move(recovered)));
}

}  // namespace sluice::recordlog
