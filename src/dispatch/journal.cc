#include "dispatch/journal.h"

#include <fmt/format.h>
#include <sys/uio.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>

#include "base/clock.h"
#include "base/logging.h"
#include "base/threads.h"

namespace sluice::dispatch {
namespace {

constexpr std::string_view kPrefix = "stream-";
constexpr std::string_view kSuffix = ".log";
constexpr std::size_t kReadSlots = 8192;  // 1 MiB at a time
// From begin to begin, while a group serves several streams: then more of them share the next.
constexpr std::chrono::milliseconds kSharedGroupsEvery{5};

std::optional<std::uint64_t> sequence_of(std::string_view name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  name.remove_suffix(kSuffix.size());
  std::uint64_t sequence = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), sequence);
  if (error != std::errc{} || end != name.data() + name.size()) return std::nullopt;
  return sequence;
}

void put(std::string& buffer, const JournalSlot& slot) { buffer.append(slot.data(), slot.size()); }

Result<void> write_all(File& file, std::uint64_t position, std::string& buffer) {
  const iovec piece{buffer.data(), buffer.size()};
  return file.write_at(position, {&piece, 1});
}

}  // namespace

Journal::Journal(std::string directory, FileSystem& fs, Metrics& metrics, Options options)
    : directory_(std::move(directory)),
      fs_(fs),
      options_(options),
      sync_seconds_(metrics.histogram_s("sluice_journal_sync_seconds",
                                        "Time to write and sync one group of journal entries.")) {}

Result<std::unique_ptr<Journal>> Journal::open(std::string directory, FileSystem& fs,
                                               Metrics& metrics, Options options) {
  std::unique_ptr<Journal> journal(new Journal(std::move(directory), fs, metrics, options));
  if (auto recovered = journal->recover(); !recovered) return recovered.error();
  if (!options.own_thread) return journal;
  journal->thread_ = std::thread([raw = journal.get()] {
    name_this_thread("journal");
    let_work_gather_for_this_thread();
    raw->run();
  });
  return journal;
}

Journal::~Journal() { stop(); }

std::string Journal::path_of(std::uint64_t sequence) const {
  return fmt::format("{}/{}{:020}{}", directory_, kPrefix, sequence, kSuffix);
}

Result<void> Journal::recover() {
  if (auto made = fs_.create_directories(directory_); !made) return made;
  const std::string parent = std::filesystem::path(directory_).parent_path().string();
  if (auto synced = fs_.sync_directory(parent.empty() ? "." : parent); !synced) return synced;
  const auto names = fs_.list(directory_);
  if (!names) return names.error();
  for (const std::string& name : *names) {
    if (const auto sequence = sequence_of(name)) old_files_.push_back(*sequence);
  }
  std::sort(old_files_.begin(), old_files_.end());
  for (const std::uint64_t sequence : old_files_) {
    sequence_ = std::max(sequence_, sequence);
    if (auto read = recover_file(sequence); !read) return read;
  }
  recovered_ = state_;
  return {};
}

// Passes over a damaged slot and goes on with the next: each entry stands for itself, and the
// fewer are lost the less is repeated.
Result<void> Journal::recover_file(std::uint64_t sequence) {
  const auto file = fs_.open(path_of(sequence), OpenMode::Read);
  if (!file) {
    logging::error("stream journal file cannot be opened",
                   {{"path", path_of(sequence)}, {"error", file.error().message}});
    move_to_quarantine(sequence);
    return {};
  }
  std::vector<char> buffer(kReadSlots * kJournalSlotBytes);
  std::optional<std::uint64_t> first_bad;
  std::uint64_t good = 0;
  std::uint64_t good_after_bad = 0;
  for (std::uint64_t position = 0;;) {
    const auto got = (*file)->read_at(position, buffer);
    if (!got) {
      logging::error("stream journal file cannot be read",
                     {{"path", path_of(sequence)}, {"error", got.error().message}});
      move_to_quarantine(sequence);
      return {};
    }
    for (std::size_t at = 0; at < *got; at += kJournalSlotBytes) {
      bool is_good = false;
      if (at + kJournalSlotBytes <= *got) {
        const std::span<const char, kJournalSlotBytes> slot(buffer.data() + at, kJournalSlotBytes);
        if (position + at == 0) {
          const JournalHeader header = check_journal_header(slot, sequence);
          if (auto known = check_version(header, sequence); !known) return known;
          is_good = header == JournalHeader::Good;
        } else if (const auto entry = decode(slot, sequence)) {
          apply(*entry);
          is_good = true;
        }
      }
      if (!is_good && !first_bad) first_bad = position + at;
      good += is_good ? 1 : 0;
      good_after_bad += is_good && first_bad ? 1 : 0;
    }
    position += *got;
    if (*got < buffer.size()) break;
  }
  if (!first_bad) return {};
  quarantine(**file, sequence, *first_bad);
  if (good == 0) {
    logging::warn("stream journal file has nothing that can be read",
                  {{"path", path_of(sequence)}});
  } else if (good_after_bad == 0) {
    logging::info("stream journal file ends torn", {{"path", path_of(sequence)}, {"good", good}});
  } else {
    logging::error("stream journal file is damaged; some batches may be sent again",
                   {{"path", path_of(sequence)}, {"position", *first_bad}});
  }
  return {};
}

Result<void> Journal::check_version(JournalHeader header, std::uint64_t sequence) const {
  if (header == JournalHeader::NewerVersion) {
    return Error{ErrorCode::Corruption,
                 path_of(sequence) + " was written by a newer version of Sluice: use that one"};
  }
  if (header == JournalHeader::OlderVersion) {
    return Error{ErrorCode::Corruption,
                 path_of(sequence) +
                     " has format 1, from before the first release, which this version of Sluice "
                     "does not read: begin with a new data directory"};
  }
  return {};
}

void Journal::apply(const JournalEntry& entry) {
  if (entry.kind == JournalEntry::Kind::Removed) {
    state_.erase(entry.stream);
    removed_.insert(entry.stream);
  } else {
    state_[entry.stream] = entry;
    removed_.erase(entry.stream);
  }
}

// Best effort: what cannot be kept for the operator must not keep the streams from starting.
void Journal::quarantine(const File& file, std::uint64_t sequence, std::uint64_t from) {
  const std::string directory = directory_ + "/quarantine";
  const std::string path = fmt::format("{}/{}{:020}-{}.bad", directory, kPrefix, sequence, from);
  if (auto made = fs_.create_directories(directory); !made) return;
  if (const auto exists = fs_.exists(path); !exists || *exists) return;
  const auto copy = fs_.open(path, OpenMode::CreateNew);
  if (!copy) return;
  std::string buffer(kReadSlots * kJournalSlotBytes, '\0');
  for (std::uint64_t position = from;;) {
    const auto got = file.read_at(position, buffer);
    if (!got || *got == 0) break;
    const iovec piece{buffer.data(), *got};
    if (auto wrote = (*copy)->write_at(position - from, {&piece, 1}); !wrote) break;
    position += *got;
  }
}

void Journal::move_to_quarantine(std::uint64_t sequence) {
  const std::string directory = directory_ + "/quarantine";
  const std::string name = fmt::format("{}{:020}{}", kPrefix, sequence, kSuffix);
  if (auto made = fs_.create_directories(directory); !made) return;
  if (auto moved = fs_.rename(path_of(sequence), directory + "/" + name); !moved) {
    logging::error("stream journal file cannot be quarantined", {{"error", moved.error().message}});
  }
}

std::optional<JournalEntry> Journal::recovered(StreamId stream) const {
  const auto found = recovered_.find(stream);
  if (found == recovered_.end()) return std::nullopt;
  return found->second;
}

void Journal::append(const JournalEntry& entry, Done done) {
  Group group;
  Done refused;
  {
    MutexLock lock(mutex_);
    if (stopping_) {
      refused = std::move(done);
    } else {
      waiting_.push_back({entry, std::move(done)});
      if (waiting_.size() == 1) changed_.notify_one();
      if (options_.own_thread) return;
      group.swap(waiting_);
    }
  }
  if (!group.empty()) return commit(std::move(group));
  if (refused) refused(Error{ErrorCode::Cancelled, "the stream journal is closed"});
}

void Journal::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void Journal::run() {
  SteadyTime next;
  for (;;) {
    Group group;
    {
      MutexLock lock(mutex_);
      while (waiting_.empty() && !stopping_) changed_.wait(mutex_);
      if (waiting_.empty()) return;
      while (!stopping_ && std::chrono::steady_clock::now() < next) {
        changed_.wait_until(mutex_, next);
      }
      group.swap(waiting_);
    }
    next = group.size() > 1 ? std::chrono::steady_clock::now() + kSharedGroupsEvery : SteadyTime();
    commit(std::move(group));
  }
}

void Journal::commit(Group group) {
  const auto begin = std::chrono::steady_clock::now();
  const Result<void> wrote = write(group);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  sync_seconds_.observe(took.count());
  if (wrote) {
    for (const Waiting& waiting : group) apply(waiting.entry);
    if (failing_) logging::info("stream journal can be written again");
  } else {
    file_.reset();
    if (!failing_) {
      logging::error("stream journal cannot be written; streams wait",
                     {{"error", wrote.error().message}});
    }
  }
  failing_ = !wrote;
  for (const Waiting& waiting : group) {
    if (waiting.done) waiting.done(wrote);
  }
}

Result<void> Journal::write(const Group& group) {
  const std::uint64_t live = (state_.size() + 1) * kJournalSlotBytes;
  const bool compact = file_bytes_ >= options_.compact_bytes && file_bytes_ >= 4 * live;
  return file_ && !compact ? append_to_file(group) : begin_file(group);
}

Result<void> Journal::append_to_file(const Group& group) {
  std::string buffer;
  buffer.reserve(group.size() * kJournalSlotBytes);
  for (const Waiting& waiting : group) put(buffer, encode(waiting.entry, sequence_));
  if (auto wrote = write_all(*file_, file_bytes_, buffer); !wrote) return wrote;
  if (auto synced = file_->sync_data(); !synced) return synced;
  file_bytes_ += buffer.size();
  return {};
}

// From the first byte of a new file on, the old one is history: were it appended to again, the new
// one's older state would win on reading.
Result<void> Journal::begin_file(const Group& group) {
  if (file_) old_files_.push_back(sequence_);
  file_.reset();
  ++sequence_;
  auto file = fs_.open(path_of(sequence_), OpenMode::CreateNew);
  if (!file) return file.error();

  std::string buffer;
  buffer.reserve((1 + removed_.size() + state_.size() + group.size()) * kJournalSlotBytes);
  put(buffer, encode_journal_header(sequence_));
  for (const StreamId stream : removed_) {
    JournalEntry entry;
    entry.stream = stream;
    entry.kind = JournalEntry::Kind::Removed;
    put(buffer, encode(entry, sequence_));
  }
  for (const auto& [stream, entry] : state_) put(buffer, encode(entry, sequence_));
  for (const Waiting& waiting : group) put(buffer, encode(waiting.entry, sequence_));

  const auto durable = [&]() -> Result<void> {
    if (auto wrote = write_all(**file, 0, buffer); !wrote) return wrote;
    if (auto synced = (*file)->sync_data(); !synced) return synced;
    return fs_.sync_directory(directory_);
  }();
  if (!durable) {
    old_files_.push_back(sequence_);
    return durable;
  }
  file_ = std::move(*file);
  file_bytes_ = buffer.size();
  remove_old_files();
  return {};
}

// Oldest first: a file that stays never hides behind a gap. Tries again with the next new file.
void Journal::remove_old_files() {
  while (!old_files_.empty()) {
    const auto removed = fs_.remove(path_of(old_files_.front()));
    if (!removed && removed.error().code != ErrorCode::NotFound) {
      logging::warn("old stream journal file cannot be removed",
                    {{"error", removed.error().message}});
      return;
    }
    old_files_.erase(old_files_.begin());
  }
  if (fs_.sync_directory(directory_)) removed_.clear();
}

}  // namespace sluice::dispatch
