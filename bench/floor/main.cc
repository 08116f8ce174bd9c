// bench_floor: the yardstick. Takes records as Sluice does, validates each, answers when they are
// on disk and forwards them to its sinks; nothing else. What Sluice spends beyond this is the price
// of what it promises more.

#include <malloc.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <fmt/core.h>

#include "floor/log.h"
#include "floor/sender.h"
#include "floor/splitter.h"
#include "wire.h"

namespace sluice::bench {
namespace {

struct Options {
  std::string listen = "127.0.0.1:0";
  std::string directory;
  std::vector<std::string> sinks;
  std::size_t streams = 1;
  std::size_t threads = 1;
};

constexpr std::string_view kPath = "POST /api/v2/records/";

class IngestThread;

struct Connection {
  int fd = -1;
  IngestThread* thread = nullptr;
  std::string received;  // up to the end of a head
  RecordKind kind = RecordKind::Usage;
  std::shared_ptr<char[]> body;
  std::size_t body_size = 0;
  std::size_t body_have = 0;
  std::uint32_t records = 0;
  bool committing = false;
  bool gone = false;  // hung up while its records were being stored
};

// One loop over some of the connections.
class IngestThread {
 public:
  explicit IngestThread(FloorLog& log) : log_(log), wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    poller_.add(wake_, &wake_, EPOLLIN);
  }

  void start() {
    std::thread([this] { run(); }).detach();
  }

  void adopt(int fd) {  // any thread
    const std::lock_guard lock(mutex_);
    adopted_.push_back(fd);
    eventfd_write(wake_, 1);
  }

  void stored(Connection* connection) {  // commit thread
    const std::lock_guard lock(mutex_);
    if (stored_.empty()) eventfd_write(wake_, 1);
    stored_.push_back(connection);
  }

 private:
  void run() {
    pthread_setname_np(pthread_self(), "ingest");
    epoll_event events[64];
    for (;;) {
      const int ready = poller_.wait(events, std::size(events), -1);
      for (int i = 0; i < ready; ++i) {
        if (events[i].data.ptr == &wake_) {
          on_wake();
        } else {
          on_readable(static_cast<Connection*>(events[i].data.ptr));
        }
      }
    }
  }

  void on_wake() {
    eventfd_t ignored = 0;
    eventfd_read(wake_, &ignored);
    std::vector<int> adopted;
    std::vector<Connection*> stored;
    {
      const std::lock_guard lock(mutex_);
      adopted.swap(adopted_);
      stored.swap(stored_);
    }
    for (const int fd : adopted) {
      auto* const connection = new Connection;
      connection->fd = fd;
      connection->thread = this;
      poller_.add(fd, connection, EPOLLIN);
    }
    for (Connection* const connection : stored) answer_stored(connection);
  }

  void answer_stored(Connection* connection) {
    connection->committing = false;
    if (connection->gone) {
      drop(connection);
    } else {
      answer(*connection, "200 OK", fmt::format(R"({{"accepted": {}}})", connection->records));
    }
  }

  static void answer(const Connection& connection, std::string_view status, std::string_view body) {
    const std::string text =
        fmt::format("HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                    status, body.size(), body);
    // Short enough to fit an empty send buffer; a lost client is seen by the next recv().
    [[maybe_unused]] const ssize_t sent =
        send(connection.fd, text.data(), text.size(), MSG_NOSIGNAL);
  }

  void drop(Connection* connection) {
    poller_.remove(connection->fd);
    if (connection->committing) {
      connection->gone = true;  // until answer_stored()
      return;
    }
    close(connection->fd);
    delete connection;
  }

  void on_readable(Connection* connection) {
    const bool in_body = connection->body != nullptr && !connection->committing;
    char* const into = in_body ? connection->body.get() + connection->body_have : scratch_;
    const std::size_t room =
        in_body ? connection->body_size - connection->body_have : sizeof scratch_;
    const ssize_t got = recv(connection->fd, into, room, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    // A request before the answer to the one before is no client of a benchmark.
    if (got <= 0 || connection->committing) {
      drop(connection);
      return;
    }
    if (in_body) {
      connection->body_have += static_cast<std::size_t>(got);
    } else {
      connection->received.append(scratch_, static_cast<std::size_t>(got));
      if (!begin_body(connection)) return;
    }
    if (connection->body_have == connection->body_size) take_body(connection);
  }

  // False: the head is not complete, or the request was refused.
  bool begin_body(Connection* connection) {
    const std::optional<Head> head = read_head(connection->received);
    if (!head) return false;
    const std::string_view path = head->first_line.substr(0, kPath.size() + 6);
    connection->kind = path.ends_with("events") ? RecordKind::Events : RecordKind::Usage;
    const std::size_t body_here = connection->received.size() - head->bytes;
    if (!path.starts_with(kPath) || head->content_length == 0 || body_here > head->content_length ||
        head->content_length > kBatchBytesMax) {
      answer(*connection, "400 Bad Request", "");
      drop(connection);
      return false;
    }
    connection->body_size = head->content_length;
    connection->body =
        std::make_shared_for_overwrite<char[]>(connection->body_size + kRecordsPadding);
    connection->body_have = body_here;
    connection->received.copy(connection->body.get(), body_here, head->bytes);
    connection->received.clear();
    return true;
  }

  void take_body(Connection* connection) {
    const std::optional<JoinedRecords> joined = splitter_.validate_and_join(
        connection->kind, connection->body.get(), connection->body_size);
    if (!joined || joined->records > kBatchRecordsMax) {
      answer(*connection, "422 Unprocessable Entity", "");
      drop(connection);
      return;
    }
    Block block;
    block.bytes = static_cast<std::uint32_t>(joined->bytes);
    block.records = joined->records;
    block.data = joined->data;
    block.keep = std::move(connection->body);
    connection->records = joined->records;
    connection->committing = true;
    log_.append(std::move(block), [connection] { connection->thread->stored(connection); });
  }

  FloorLog& log_;
  Poller poller_;
  RecordSplitter splitter_;
  int wake_;
  char scratch_[16 << 10];

  std::mutex mutex_;
  std::vector<int> adopted_;
  std::vector<Connection*> stored_;
};

void serve(const Options& options) {
  // Bodies and merged blocks are taken from warm memory, not mapped anew and faulted in each time.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
  const int stop = stop_signal_fd();
  Sender sender(options.sinks, options.streams);
  FloorLog log(options.directory, [&sender] { sender.wake(); });
  sender.start(log);
  std::vector<std::unique_ptr<IngestThread>> threads;
  for (std::size_t i = 0; i < options.threads; ++i) {
    threads.push_back(std::make_unique<IngestThread>(log));
    threads.back()->start();
  }
  const int listener = listen_and_announce(options.listen);
  Poller poller;
  poller.add(stop, nullptr, EPOLLIN);
  poller.add(listener, &poller, EPOLLIN);
  for (std::size_t next = 0;;) {
    epoll_event event;
    if (poller.wait(&event, 1, -1) == 0) continue;
    if (event.data.ptr == nullptr) _exit(0);  // nothing to save: what was answered is on disk
    for (int fd = accept_connection(listener); fd >= 0; fd = accept_connection(listener)) {
      threads[next++ % threads.size()]->adopt(fd);
    }
  }
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  sluice::bench::Options options;
  CLI::App app{"The yardstick of the benchmarks: validates, syncs and forwards, and nothing else."};
  app.add_option("--listen", options.listen, "HOST:PORT; port 0 takes a free one");
  app.add_option("--dir", options.directory, "directory for the log")->required();
  app.add_option("--sink", options.sinks, "URL; each gets every record")->required();
  app.add_option("--streams", options.streams, "as many streams to each sink");
  app.add_option("--threads", options.threads, "ingest threads")->check(CLI::Range(1, 16));
  CLI11_PARSE(app, argc, argv);
  sluice::bench::serve(options);
}
