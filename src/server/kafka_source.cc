#include "server/kafka_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/logging.h"
#include "base/mutex.h"
#include "kafka/consumer.h"

namespace sluice::server {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kRunBytesMax = 1 << 20;  // but for one message that is larger
constexpr std::size_t kRunMessagesMax = 10'000;
constexpr std::size_t kRoundBytesMax = 8 << 20;  // of all partitions, then they are stored
constexpr auto kWait = 200ms;                    // for the first message
constexpr auto kGather = 5ms;                    // for the next ones
constexpr auto kAgain = 1s;                      // after a refusal

// Messages of one partition that follow one another.
struct Run {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
  std::vector<std::uint64_t> positions;
  std::string lines;
};

struct Partition {
  std::string topic;
  std::int32_t number = 0;
  Kind kind = Kind::Event;
  std::string name;                   // in the log
  std::optional<std::uint64_t> next;  // what lies before has been fetched; nullopt: not known
  // A run of the process before ended here, and not all of it was stored.
  std::uint64_t cut = 0;
  std::deque<Run> runs;  // to be stored
};

void add_line(std::string& lines, std::string_view value) {
  if (value.find_first_not_of(" \t\r\n") == std::string_view::npos) value = "null";  // to be seen
  const std::size_t begin = lines.size();
  lines += value;
  // Between the parts of a JSON text a line break is as good as a blank, and nowhere else allowed.
  std::replace(lines.begin() + static_cast<std::ptrdiff_t>(begin), lines.end(), '\n', ' ');
  lines += '\n';
}

http::Body body_of(std::string_view lines) {
  auto storage = std::make_unique<char[]>(lines.size() + http::Body::kPadding);
  std::memcpy(storage.get(), lines.data(), lines.size());
  return {std::move(storage), lines.size()};
}

}  // namespace

class KafkaSource::Worker {
 public:
  Worker(KafkaSourceSettings settings, std::string member, egress::Settings egress,
         Dependencies with)
      : settings_(std::move(settings)),
        member_(std::move(member)),
        with_(with),
        http_(with.threads.loop(0), with.clock, std::move(egress)),
        messages_(with.metrics.counter("sluice_kafka_source_messages_total",
                                       "Messages fetched from Kafka and stored or quarantined.")),
        stopped_(with.metrics.gauge("sluice_kafka_source_stopped",
                                    "1 while messages from Kafka cannot be stored.")) {}

  Result<void> start() {
    kafka::Consumer::Options options{
        .cluster = settings_.cluster,
        .group = settings_.group,
        .member = member_,
        .topics = {},
        .from_newest = settings_.from_newest,
        .next = [this](std::string_view topic,
                       std::int32_t number) { return begin_at(topic, number); },
        .gives_up = [this](std::chrono::milliseconds pause) { return stops_within(pause); }};
    for (const auto& [topic, kind] : settings_.topics) options.topics.push_back(topic);
    auto opened = kafka::Consumer::open(http_, with_.clock, std::move(options));
    if (!opened) return opened.error();
    consumer_ = *std::move(opened);
    thread_ = std::thread([this] { run(); });
    return {};
  }

  void stop() {
    if (!thread_.joinable()) return;
    {
      const MutexLock lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
    consumer_.reset();
  }

 private:
  void run() {
    while (!stopping_) {
      gather();
      while (store_a_run_each()) {
      }
      show_complaint();
    }
  }

  // ---- fetching

  Partition& partition_of(std::string_view topic, std::int32_t number) {
    const auto key = std::pair(std::string(topic), number);
    const auto [found, is_new] = partitions_.try_emplace(key);
    Partition& partition = found->second;
    if (is_new) {
      partition.topic = key.first;
      partition.number = number;
      partition.kind = settings_.topics.at(key.first);
      partition.name = fmt::format("kafka:{}/{}", topic, number);
      if (const auto newest = with_.ingest.newest_run(partition.name)) {
        partition.next = newest->whole ? newest->end : newest->first;
        partition.cut = newest->whole ? 0 : newest->end;
      }
    }
    return partition;
  }

  // Where to read on in a partition that is assigned; nullopt: nothing is known of it here.
  std::optional<std::uint64_t> begin_at(std::string_view topic, std::int32_t number) {
    return partition_of(topic, number).next;
  }

  void gather() {
    std::size_t bytes = 0;
    const auto sink = [this, &bytes](const kafka::Consumed& message) { bytes += add(message); };
    if (!consumer_->take(kWait, sink)) return;
    while (bytes < kRoundBytesMax && consumer_->take(kGather, sink)) {
    }
  }

  std::size_t add(const kafka::Consumed& message) {
    Partition& partition = partition_of(message.topic, message.partition);
    if (message.offset < partition.next.value_or(0)) {
      logging::warn("a Kafka topic begins anew", {{"partition", partition.name},
                                                  {"offset", message.offset},
                                                  {"expected", *partition.next}});
      partition.cut = 0;
    }
    const bool begins =
        partition.runs.empty() || is_full(partition.runs.back()) ||
        message.offset < partition.runs.back().end ||
        (partition.runs.back().first < partition.cut && message.offset >= partition.cut);
    if (begins) partition.runs.emplace_back().first = message.offset;
    Run& run = partition.runs.back();
    // A run that was cut before keeps its end, so that what is stored of it is known again.
    run.end = std::max(message.offset + 1, run.first < partition.cut ? partition.cut : 0);
    run.positions.push_back(message.offset);
    add_line(run.lines, message.value);
    partition.next = message.offset + 1;
    return message.value.size();
  }

  // A run that was cut before waits for all that it had.
  static bool can_store(const Partition& partition) {
    return !partition.runs.empty() &&
           (partition.runs.front().first >= partition.cut || *partition.next >= partition.cut);
  }

  static bool is_full(const Run& run) {
    return run.lines.size() >= kRunBytesMax || run.positions.size() >= kRunMessagesMax;
  }

  // ---- storing

  // The first of each partition, all at a time. False: nothing is left, or it is to stop.
  bool store_a_run_each() {
    std::vector<Partition*> waiting;
    for (auto& [key, partition] : partitions_) {
      if (can_store(partition)) waiting.push_back(&partition);
    }
    if (waiting.empty() || stopping_) return false;
    std::vector<Result<void>> results(waiting.size());
    {
      const MutexLock lock(mutex_);
      under_way_ = waiting.size();
    }
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      with_.ingest.take(source_run(*waiting[i]), [this, &result = results[i]](Result<void> done) {
        const MutexLock lock(mutex_);
        result = std::move(done);
        if (--under_way_ == 0) changed_.notify_all();
      });
    }
    {
      const MutexLock lock(mutex_);
      while (under_way_ > 0) changed_.wait(mutex_);
    }
    settle(waiting, results);
    return true;
  }

  static ingest::SourceRun source_run(const Partition& partition) {
    const Run& run = partition.runs.front();
    return {.partition = partition.name,
            .kind = partition.kind,
            .first = run.first,
            .end = run.end,
            .positions = run.positions,
            .lines = body_of(run.lines)};
  }

  void settle(const std::vector<Partition*>& waiting, const std::vector<Result<void>>& results) {
    std::string reason;
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      if (!results[i]) {
        reason = results[i].error().message;
        continue;
      }
      Partition& partition = *waiting[i];
      const Run& run = partition.runs.front();
      messages_.add(static_cast<double>(run.positions.size()));
      consumer_->commit(partition.topic, partition.number, run.end);
      partition.runs.pop_front();
    }
    stopped_.set(reason.empty() ? 0 : 1);
    if (std::exchange(refused_, reason) != reason) {
      if (reason.empty()) {
        logging::info("the Kafka source goes on");
      } else {
        logging::error("the Kafka source has stopped", {{"reason", reason}});
      }
    }
    if (!reason.empty()) stops_within(kAgain);
  }

  bool stops_within(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    const MutexLock lock(mutex_);
    while (!stopping_ && changed_.wait_until(mutex_, end)) {
    }
    return stopping_;
  }

  void show_complaint() {
    const std::string& complaint = consumer_->complaint();
    if (shown_ == complaint) return;
    shown_ = complaint;
    if (!shown_.empty()) logging::warn("Kafka refuses the source", {{"reason", shown_}});
  }

  const KafkaSourceSettings settings_;
  const std::string member_;
  const Dependencies with_;
  egress::HttpClient http_;
  Counter messages_;
  Gauge stopped_;
  std::unique_ptr<kafka::Consumer> consumer_;
  std::map<std::pair<std::string, std::int32_t>, Partition> partitions_;
  std::string refused_;  // why the last run was
  std::string shown_;    // the cluster's complaint that was told last

  std::atomic<bool> stopping_ = false;
  Mutex mutex_;
  CondVar changed_;
  std::size_t under_way_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

KafkaSource::KafkaSource(KafkaSourceSettings settings, std::string member, egress::Settings egress,
                         Dependencies dependencies)
    : worker_(std::make_unique<Worker>(std::move(settings), std::move(member), std::move(egress),
                                       dependencies)) {}

KafkaSource::~KafkaSource() = default;

Result<void> KafkaSource::start() { return worker_->start(); }
void KafkaSource::stop() { worker_->stop(); }

}  // namespace sluice::server
