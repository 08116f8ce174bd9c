#include "kafka/producer.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <vector>

#include "base/assert.h"
#include "egress/wait.h"
#include "kafka/calls.h"

namespace sluice::kafka {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

constexpr std::size_t kTurnMessagesMax = 512;  // then the loop's others have theirs
// A stop is seen between two looks. Each takes twice as long as the one before.
constexpr milliseconds kFirstLook{250};
constexpr milliseconds kLookMax{1000};
constexpr milliseconds kAfterLook{250};  // for its thread to say that time is up
constexpr int kUnsettled = RD_KAFKA_RESP_ERR__IN_PROGRESS;

rd_kafka_resp_err_t produce(rd_kafka_t* client, rd_kafka_topic_t* topic, const Message& message,
                            std::size_t index) {
  // The library takes the bytes as they lie; its interface has no const.
  auto* payload = const_cast<char*>(message.payload.data());
  return rd_kafka_producev(
      client, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(RD_KAFKA_PARTITION_UA),
      RD_KAFKA_V_VALUE(payload, message.payload.size()),
      RD_KAFKA_V_KEY(message.key.data(), message.key.size()),
      RD_KAFKA_V_HEADER("kind", message.kind.data(), static_cast<ssize_t>(message.kind.size())),
      RD_KAFKA_V_HEADER("offset", message.offset.data(),
                        static_cast<ssize_t>(message.offset.size())),
      RD_KAFKA_V_OPAQUE(reinterpret_cast<void*>(index)), RD_KAFKA_V_END);
}

}  // namespace

// Shared by the producer, what it is doing, and the threads that look and that end the client.
struct Producer::Core {
  // Lives on the loop's thread, and no longer than the producer.
  struct OnLoop {
    explicit OnLoop(asio::io_context& loop) : wake(loop), ready(loop) {}
    asio::steady_timer wake;
    asio::posix::stream_descriptor ready;  // event_fd
  };
  // Whatever ends a coroutine before its time leaves something nobody knows the end of.
  struct Guard {
    Core& core;
    ~Guard() {
      if (core.settled()) return;
      core.spent = true;
      core.given_up = true;
    }
  };

  Core(asio::io_context& loop, const Clock& clock_in)
      : clock(clock_in), on_loop(std::make_shared<OnLoop>(loop)) {}
  ~Core();

  void wait_for_events();
  void take_events();
  void take(rd_kafka_event_t* event);
  void take_report(rd_kafka_event_t* event);
  void take_error(int code, std::string text);
  void stop(Meaning meaning, std::string text);
  void stop(WireFault fault);
  bool settled() const { return unsettled == 0 && found != kUnsettled; }
  Awaitable<void> settle(SteadyTime deadline);
  Sent outcome() const;
  void find_topic(std::chrono::steady_clock::time_point until);

  const Clock& clock;
  std::shared_ptr<Wire> wire;
  rd_kafka_t* client = nullptr;
  rd_kafka_topic_t* topic = nullptr;
  rd_kafka_queue_t* queue = nullptr;
  int event_fd = -1;

  // The loop's.
  std::shared_ptr<OnLoop> on_loop;  // its handlers see by it whether the producer is there
  std::vector<int> results;         // by message
  std::size_t unsettled = 0;
  std::shared_ptr<const void> keep;
  std::optional<Sent> stopped;          // beside `delivered`
  std::string heard;                    // the library's last complaint
  std::optional<WireFault> wire_fault;  // the last one
  bool spent = false;

  // Between the loop and look()'s thread, which writes to event_fd after it has set `found`.
  std::atomic<bool> given_up = false;
  std::atomic<int> found = 0;
};

Producer::Core::~Core() {
  if (topic != nullptr) rd_kafka_topic_destroy(topic);
  if (queue != nullptr) rd_kafka_queue_destroy(queue);
  if (client != nullptr) rd_kafka_destroy(client);
  if (event_fd >= 0) ::close(event_fd);
}

Result<std::unique_ptr<Producer>> Producer::open(egress::HttpClient& http, const Clock& clock,
                                                 Options options) {
  auto core = std::make_shared<Core>(http.loop(), clock);
  core->wire = std::make_shared<Wire>(
      http, clock, Wire::Options{options.organisation, options.cluster.secure, options.cluster.tls},
      [core = core.get()](const WireFault& fault) {
        core->wire_fault = fault;
        if (fault.error.code == ErrorCode::InvalidArgument) core->stop(fault);
      });
  Configuration configuration = make_configuration(
      options.cluster, {{"enable.idempotence", "true"},
                        {"linger.ms", "2"},
                        {"message.max.bytes", "100000000"},  // the broker's to judge
                        {"batch.size", std::to_string(kMessageSetBytesMax).c_str()},
                        {"topic.metadata.propagation.max.ms", "1000"}});
  core->wire->install(configuration.get());
  rd_kafka_conf_set_events(configuration.get(), RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
  core->event_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (core->event_fd < 0) return Error{ErrorCode::Unavailable, "no file descriptor is left"};
  core->on_loop->ready.assign(core->event_fd);
  std::array<char, 200> why{};
  core->client = rd_kafka_new(RD_KAFKA_PRODUCER, configuration.get(), why.data(), why.size());
  if (core->client == nullptr) {
    core->on_loop->ready.release();
    return Error{ErrorCode::Unavailable, why.data()};
  }
  static_cast<void>(configuration.release());  // the client's now
  core->queue = rd_kafka_queue_get_main(core->client);
  const std::uint64_t one = 1;
  rd_kafka_queue_io_event_enable(core->queue, core->event_fd, &one, sizeof(one));
  core->wait_for_events();
  std::unique_ptr<Producer> producer(new Producer(core));
  core->topic = rd_kafka_topic_new(core->client, options.topic.c_str(), nullptr);
  if (core->topic == nullptr) {
    return Error{ErrorCode::InvalidArgument, text_of(rd_kafka_last_error())};
  }
  return producer;
}

Producer::Producer(std::shared_ptr<Core> core) : core_(std::move(core)) {}

Producer::~Producer() {
  core_->wire->close();
  core_->stop({{ErrorCode::Cancelled, "cancelled"}, Fault::Us});
  rd_kafka_queue_io_event_enable(core_->queue, -1, nullptr, 0);
  core_->on_loop->ready.release();
  core_->on_loop.reset();
  rd_kafka_purge(core_->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                    RD_KAFKA_PURGE_F_NON_BLOCKING);
  // Waits for the library's threads.
  calls().post([core = core_] {});
}

bool Producer::spent() const { return core_->spent; }

// The handler has no share of this: the end of the last one waits for the library's threads.
void Producer::Core::wait_for_events() {
  on_loop->ready.async_wait(
      asio::posix::stream_descriptor::wait_read,
      [this, there = std::weak_ptr(on_loop)](boost::system::error_code ec) {
        if (ec || there.expired()) return;
        std::uint64_t ignored = 0;
        while (::read(event_fd, &ignored, sizeof(ignored)) < 0 && errno == EINTR) {
        }
        take_events();
        wait_for_events();
      });
}

void Producer::Core::take_events() {
  while (rd_kafka_event_t* event = rd_kafka_queue_poll(queue, 0)) {
    take(event);
    rd_kafka_event_destroy(event);
  }
  on_loop->wake.cancel();
}

void Producer::Core::take(rd_kafka_event_t* event) {
  switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_DR: take_report(event); return;
    case RD_KAFKA_EVENT_ERROR:
      take_error(rd_kafka_event_error(event), rd_kafka_event_error_string(event));
      return;
    default: return;
  }
}

void Producer::Core::take_report(rd_kafka_event_t* event) {
  while (const rd_kafka_message_t* message = rd_kafka_event_message_next(event)) {
    const auto index = reinterpret_cast<std::size_t>(message->_private);
    SLUICE_ASSERT(index < results.size() && results[index] == kUnsettled);
    results[index] = message->err;
    --unsettled;
  }
}

void Producer::Core::take_error(int code, std::string text) {
  if (code == RD_KAFKA_RESP_ERR__FATAL) {
    std::array<char, 500> why{};
    code = rd_kafka_fatal_error(client, why.data(), why.size());
    stop(meaning_of(code), why.data());
  } else if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
    const bool never_made = wire_fault.has_value() && heard.empty();
    if (never_made) {
      stop(*wire_fault);
    } else {
      stop({{ErrorCode::Unavailable, heard.empty() ? std::move(text) : heard}, Fault::Network});
    }
  } else if (meaning_of(code) == Meaning::Settings) {
    stop(Meaning::Settings, std::move(text));
  } else if (!wire_fault.has_value()) {
    heard = std::move(text);
  }
}

void Producer::Core::stop(Meaning meaning, std::string text) {
  spent = true;
  given_up = true;
  if (!stopped) stopped = Sent{.meaning = meaning, .text = std::move(text)};
  on_loop->wake.cancel();
}

void Producer::Core::stop(WireFault fault) {
  spent = true;
  given_up = true;
  if (!stopped) stopped = Sent{.fault = std::move(fault)};
  on_loop->wake.cancel();
}

Sent Producer::Core::outcome() const {
  const auto first = std::ranges::find_if(results, [](int result) { return result != 0; });
  const auto delivered = static_cast<std::uint32_t>(first - results.begin());
  if (first == results.end()) return {.delivered = delivered};
  Sent sent;
  if (*first != kUnsettled) {
    sent.meaning = meaning_of(*first);
    sent.text = text_of(*first);
  } else if (stopped) {
    sent = *stopped;
  }
  sent.delivered = delivered;
  return sent;
}

// Until all that was begun has ended, or nothing more is waited for. `this` outlives it.
Awaitable<void> Producer::Core::settle(SteadyTime deadline) {
  if (settled() || stopped) co_return;
  on_loop->wake.expires_at(egress::loop_time(deadline, clock));
  while (!settled() && !stopped) {
    if (on_loop->wake.expiry() <= std::chrono::steady_clock::now()) {
      WireFault late{{ErrorCode::Timeout, "timed out waiting for the brokers"}, Fault::Destination};
      if (wire_fault) late = *wire_fault;
      if (!heard.empty()) late.error.message += ": " + heard;
      stop(std::move(late));
      co_return;
    }
    const bool go_on = co_await egress::wait_for_wake(on_loop->wake);
    if (!go_on && !stopped) stop({{ErrorCode::Cancelled, "cancelled"}, Fault::Us});
  }
}

Awaitable<Sent> Producer::send(std::span<const Message> messages, std::shared_ptr<const void> keep,
                               SteadyTime deadline) {
  Core& core = *core_;
  SLUICE_ASSERT(core.settled());
  if (core.stopped) co_return *core.stopped;  // while nothing was sent
  core.keep = std::move(keep);
  core.results.assign(messages.size(), kUnsettled);
  core.wire_fault.reset();
  core.heard.clear();
  const std::shared_ptr<Core> alive = core_;
  const Core::Guard guard{core};
  for (std::size_t i = 0; i < messages.size() && !core.stopped; ++i) {
    if (i % kTurnMessagesMax == kTurnMessagesMax - 1) {
      co_await asio::post(core.on_loop->wake.get_executor(), asio::use_awaitable);
    }
    const int refused = produce(core.client, core.topic, messages[i], i);
    if (refused == 0) {
      ++core.unsettled;
      continue;
    }
    core.results[i] = refused;  // and nothing behind it
    core.results.resize(i + 1);
    break;
  }
  co_await core.settle(deadline);
  co_return core.outcome();
}

namespace {

// What metadata say of the topic. Blocks.
int ask_for_topic(rd_kafka_t* client, rd_kafka_topic_t* topic, milliseconds time) {
  const struct rd_kafka_metadata* found = nullptr;
  const int failed = rd_kafka_metadata(client, 0, topic, &found, static_cast<int>(time.count()));
  if (failed != 0) return failed;
  const int result = found->topic_cnt == 1 ? static_cast<int>(found->topics[0].err)
                                           : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
  rd_kafka_metadata_destroy(found);
  return result;
}

}  // namespace

// Blocks.
void Producer::Core::find_topic(std::chrono::steady_clock::time_point until) {
  int result = RD_KAFKA_RESP_ERR__TIMED_OUT;
  for (milliseconds time = kFirstLook; !given_up; time = std::min(time * 2, kLookMax)) {
    const auto left =
        std::chrono::duration_cast<milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    result = ask_for_topic(client, topic, std::min(time, left));
    const bool again = result == RD_KAFKA_RESP_ERR__TIMED_OUT ||
                       result == RD_KAFKA_RESP_ERR__TRANSPORT ||
                       result == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
    if (!again) break;
  }
  found = result;
  ::eventfd_write(event_fd, 1);
}

Awaitable<Sent> Producer::look(SteadyTime deadline) {
  Core& core = *core_;
  SLUICE_ASSERT(core.settled());
  if (core.stopped) co_return *core.stopped;
  core.found = kUnsettled;
  const std::shared_ptr<Core> alive = core_;
  const Core::Guard guard{core};
  calls().post(
      [core = core_, until = egress::loop_time(deadline, core.clock)] { core->find_topic(until); });
  co_await core.settle(deadline + kAfterLook);
  if (!core.stopped) core.take_events();  // what was said before
  const int result = core.found;
  if (result == 0) co_return Sent{};
  if (core.stopped) co_return *core.stopped;
  const Meaning meaning = meaning_of(result);
  if (meaning == Meaning::Passes) {
    WireFault fault{{ErrorCode::Unavailable, text_of(result)}, Fault::Network};
    if (core.wire_fault) fault = *core.wire_fault;
    co_return Sent{.fault = std::move(fault)};
  }
  co_return Sent{.meaning = meaning, .text = text_of(result)};
}

}  // namespace sluice::kafka
