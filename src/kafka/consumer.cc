#include "kafka/consumer.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <future>
#include <utility>

#include "base/assert.h"
#include "kafka/meaning.h"
#include "kafka/wire.h"

namespace sluice::kafka {
namespace {

constexpr int kCommittedWaitMs = 1000;
constexpr std::chrono::milliseconds kCommittedPause{250};  // after a failure

struct PartitionsFree {
  void operator()(rd_kafka_topic_partition_list_t* list) const {
    rd_kafka_topic_partition_list_destroy(list);
  }
};
using Partitions = std::unique_ptr<rd_kafka_topic_partition_list_t, PartitionsFree>;

Partitions partitions_of(int size) { return Partitions(rd_kafka_topic_partition_list_new(size)); }

}  // namespace

struct Consumer::Core {
  Core(egress::HttpClient& http, const Clock& clock, Options options_in)
      : options(std::move(options_in)),
        loop(http.loop()),
        wire(std::make_shared<Wire>(
            http, clock,
            Wire::Options{OrganisationId{0}, options.cluster.secure, options.cluster.tls},
            nullptr)) {}
  ~Core();

  bool handle(rd_kafka_event_t* event, const std::function<void(const Consumed&)>& sink);
  void take_error(int code, std::string text);
  void rebalance(rd_kafka_event_t* event);
  void assign(rd_kafka_topic_partition_list_t* partitions);

  const Options options;
  boost::asio::io_context& loop;
  const std::shared_ptr<Wire> wire;
  rd_kafka_t* client = nullptr;
  rd_kafka_queue_t* queue = nullptr;
  std::string complaint;
};

// Without a farewell to the group: as a static member it is expected back.
Consumer::Core::~Core() {
  std::promise<void> closed;
  boost::asio::post(loop, [this, &closed] {
    wire->close();
    closed.set_value();
  });
  closed.get_future().wait();
  if (queue != nullptr) rd_kafka_queue_destroy(queue);
  if (client != nullptr) rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

Consumer::Consumer(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Consumer::~Consumer() = default;

const std::string& Consumer::complaint() const { return core_->complaint; }

Result<std::unique_ptr<Consumer>> Consumer::open(egress::HttpClient& http, const Clock& clock,
                                                 Options options) {
  auto core = std::make_unique<Core>(http, clock, std::move(options));
  const Options& with = core->options;
  Configuration configuration = make_configuration(
      with.cluster, {{"group.id", with.group.c_str()},
                     {"group.instance.id", with.member.c_str()},
                     {"session.timeout.ms", "10000"},
                     // Storage may be short of room for long.
                     {"max.poll.interval.ms", "86400000"},
                     {"enable.auto.commit", "false"},
                     {"enable.auto.offset.store", "false"},
                     {"auto.offset.reset", with.from_newest ? "latest" : "earliest"},
                     {"queued.max.messages.kbytes", "16384"},
                     {"topic.metadata.refresh.interval.ms", "30000"}});
  core->wire->install(configuration.get());
  rd_kafka_conf_set_events(configuration.get(), RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_ERROR);
  std::array<char, 200> why{};
  core->client = rd_kafka_new(RD_KAFKA_CONSUMER, configuration.get(), why.data(), why.size());
  if (core->client == nullptr) return Error{ErrorCode::Unavailable, why.data()};
  static_cast<void>(configuration.release());  // the client's now
  rd_kafka_poll_set_consumer(core->client);
  core->queue = rd_kafka_queue_get_consumer(core->client);
  const Partitions topics = partitions_of(static_cast<int>(with.topics.size()));
  for (const std::string& topic : with.topics) {
    rd_kafka_topic_partition_list_add(topics.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
  }
  const int failed = rd_kafka_subscribe(core->client, topics.get());
  if (failed != 0) return Error{ErrorCode::Unavailable, text_of(failed)};
  return std::unique_ptr<Consumer>(new Consumer(std::move(core)));
}

bool Consumer::take(std::chrono::milliseconds wait,
                    const std::function<void(const Consumed&)>& sink) {
  bool came = false;
  int wait_ms = static_cast<int>(wait.count());
  while (rd_kafka_event_t* event = rd_kafka_queue_poll(core_->queue, wait_ms)) {
    came |= core_->handle(event, sink);
    rd_kafka_event_destroy(event);
    if (came) break;
    wait_ms = 0;
  }
  return came;
}

bool Consumer::Core::handle(rd_kafka_event_t* event,
                            const std::function<void(const Consumed&)>& sink) {
  bool came = false;
  switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_FETCH:
      while (const rd_kafka_message_t* message = rd_kafka_event_message_next(event)) {
        if (message->err != 0) {
          complaint = text_of(message->err);
          continue;
        }
        complaint.clear();
        came = true;
        sink({.topic = rd_kafka_topic_name(message->rkt),
              .partition = message->partition,
              .offset = static_cast<std::uint64_t>(message->offset),
              .value = {static_cast<const char*>(message->payload), message->len}});
      }
      break;
    case RD_KAFKA_EVENT_REBALANCE: rebalance(event); break;
    case RD_KAFKA_EVENT_ERROR:
      take_error(rd_kafka_event_error(event), rd_kafka_event_error_string(event));
      break;
    default: break;
  }
  return came;
}

void Consumer::Core::take_error(int code, std::string text) {
  const bool all_down = code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
  if (all_down || code == RD_KAFKA_RESP_ERR__TRANSPORT) {
    // The library does not know why a connection could not be made.
    if (const std::optional<WireFault> fault = wire->fault()) {
      complaint = fault->error.message;
      return;
    }
  }
  // That all brokers are down follows from what each of them was told before, and hides it.
  if (complaint.empty() || !all_down) complaint = std::move(text);
}

void Consumer::Core::rebalance(rd_kafka_event_t* event) {
  if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
    assign(rd_kafka_event_topic_partition_list(event));
  } else {
    rd_kafka_assign(client, nullptr);
  }
}

// Read on from what the group has committed or from what is known here, whichever is further.
void Consumer::Core::assign(rd_kafka_topic_partition_list_t* partitions) {
  int failed = 0;
  while ((failed = rd_kafka_committed(client, partitions, kCommittedWaitMs)) != 0) {
    complaint = text_of(failed);
    if (options.gives_up(kCommittedPause)) return;
  }
  for (int i = 0; i < partitions->cnt; ++i) {
    rd_kafka_topic_partition_t& one = partitions->elems[i];
    const bool committed = one.err == 0 && one.offset >= 0;
    const std::optional<std::uint64_t> known = options.next(one.topic, one.partition);
    if (!committed) one.offset = RD_KAFKA_OFFSET_STORED;
    if (known && (!committed || static_cast<std::int64_t>(*known) > one.offset)) {
      one.offset = static_cast<std::int64_t>(*known);
    }
    one.err = RD_KAFKA_RESP_ERR_NO_ERROR;
  }
  const int refused = rd_kafka_assign(client, partitions);
  if (refused != 0) complaint = text_of(refused);
}

void Consumer::commit(const std::string& topic, std::int32_t partition, std::uint64_t next) {
  const Partitions one = partitions_of(1);
  rd_kafka_topic_partition_list_add(one.get(), topic.c_str(), partition)->offset =
      static_cast<std::int64_t>(next);
  rd_kafka_commit(core_->client, one.get(), /*async=*/1);
}

}  // namespace sluice::kafka
