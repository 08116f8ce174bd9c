// bench_load: sends record bodies over keep-alive connections and measures how soon they are
// acknowledged. Bodies are built before the clock starts; while it runs only the digits of ids (and
// of organisations, where there are several) are rewritten, so the sender stays cheap.

#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "records.h"
#include "wire.h"

namespace sluice::bench {
namespace {

struct Options {
  std::string url;
  std::string kind = "usage";
  std::string format = "ndjson";
  std::string token;
  std::string query;
  std::uint64_t body_records = 1000;
  std::uint64_t organisations = 1;
  std::uint64_t first_organisation = kFirstOrganisation;
  std::uint64_t connections = 16;
  std::uint64_t records = 1'000'000;
  std::uint64_t first_id = 100'000'000'000'000;
  std::uint64_t seed = 1;
  double duration_s = 0;  // > 0: instead of a number of records
  double rate = 0;        // records/s; 0: each connection sends as soon as it has its answer
  bool print = false;     // the records go to standard output instead, one a line
};

// Head and body of one request, ready to be sent.
struct Request {
  struct Place {
    std::uint32_t id_at;
    std::uint32_t organisation_at;
  };
  std::string bytes;
  std::vector<Place> places;
  std::uint64_t body_bytes = 0;
};

struct Connection {
  int fd = -1;
  std::vector<Request> requests;  // its own, sent in turn: nobody rewrites what is under way
  std::size_t turn = 0;
  bool busy = false;
  std::size_t sent = 0;
  double due_s = 0;         // latency counts from here
  double wait_until_s = 0;  // refused: the same request again, not before
  std::string received;

  Request& request() { return requests[turn % requests.size()]; }
};

Request build_request(const Options& options, std::mt19937_64& random) {
  const bool array = options.format == "array";
  const RecordKind kind = options.kind == "usage" ? RecordKind::Usage : RecordKind::Events;
  Request request;
  std::string body = array ? "[" : "";
  for (std::uint64_t i = 0; i < options.body_records; ++i) {
    const RecordTemplate record = make_record(kind, random);
    if (array && i > 0) body += ',';
    request.places.push_back({static_cast<std::uint32_t>(body.size() + record.id_at),
                              static_cast<std::uint32_t>(body.size() + record.organisation_at)});
    body += record.json;
    if (!array) body += '\n';
  }
  if (array) body += ']';
  const Url url = parse_url(options.url);
  request.bytes = fmt::format(
      "POST /api/v2/records/{}{} HTTP/1.1\r\nHost: {}:{}\r\nContent-Type: application/{}\r\n{}"
      "Content-Length: {}\r\n\r\n",
      options.kind, options.query, url.host, url.port, array ? "json" : "x-ndjson",
      options.token.empty() ? "" : fmt::format("Authorization: Bearer {}\r\n", options.token),
      body.size());
  request.body_bytes = body.size();
  for (Request::Place& place : request.places) {
    place.id_at += static_cast<std::uint32_t>(request.bytes.size());
    place.organisation_at += static_cast<std::uint32_t>(request.bytes.size());
  }
  request.bytes += body;
  return request;
}

// What another program is fed with, that takes no HTTP.
void print_records(const Options& options) {
  const RecordKind kind = options.kind == "usage" ? RecordKind::Usage : RecordKind::Events;
  std::mt19937_64 random(options.seed);
  std::vector<RecordTemplate> templates;
  for (int i = 0; i < 1000; ++i) templates.push_back(make_record(kind, random));
  for (std::uint64_t i = 0; i < options.records; ++i) {
    RecordTemplate& record = templates[i % templates.size()];
    write_digits(record.json.data() + record.id_at, kIdDigits, options.first_id + i);
    fmt::print("{}\n", record.json);
  }
}

class Load {
 public:
  explicit Load(Options options) : options_(std::move(options)) {
    std::mt19937_64 random(options_.seed);
    const std::uint64_t variants = std::clamp<std::uint64_t>(1000 / options_.body_records, 1, 64);
    connections_.resize(options_.connections);
    for (Connection& connection : connections_) {
      for (std::uint64_t i = 0; i < variants; ++i) {
        connection.requests.push_back(build_request(options_, random));
      }
    }
    requests_wanted_ = options_.duration_s > 0
                           ? UINT64_MAX
                           : (options_.records + options_.body_records - 1) / options_.body_records;
  }

  void run() {
    const Url url = parse_url(options_.url);
    for (Connection& connection : connections_) {
      connection.fd = connect_to(url);
      if (connection.fd < 0) die("cannot connect to " + options_.url, true);
      poller_.add(connection.fd, &connection, EPOLLIN | EPOLLOUT | EPOLLET);
      idle_.push_back(&connection);
    }
    const double cpu_before = cpu_s();
    start_s_ = monotonic_s();
    while (!finished()) {
      begin_what_is_due();
      epoll_event events[256];
      const int ready = poller_.wait(events, std::size(events), wait_s());
      for (int i = 0; i < ready; ++i) {
        advance(*static_cast<Connection*>(events[i].data.ptr));
      }
    }
    cpu_used_s_ = cpu_s() - cpu_before;
  }

  void print() {
    const double seconds = last_answer_s_ - start_s_;
    fmt::print(
        R"({{"records": {}, "requests": {}, "body_bytes": {}, "refused": {}, "seconds": {:.6f}, )"
        R"("records_per_s": {:.0f}, "start_s": {:.6f}, "cpu_s": {:.4f}, )"
        R"("ack_ms": {{"p50": {:.3f}, "p99": {:.3f}, "p99_9": {:.3f}, "max": {:.3f}}}}})"
        "\n",
        accepted_, latencies_us_.size(), body_bytes_, refused_, seconds,
        static_cast<double>(accepted_) / seconds, start_s_, cpu_used_s_, quantile_ms(0.5),
        quantile_ms(0.99), quantile_ms(0.999), quantile_ms(1));
  }

 private:
  bool all_begun() const {
    return begun_ >= requests_wanted_ ||
           (options_.duration_s > 0 && monotonic_s() >= start_s_ + options_.duration_s);
  }

  bool finished() const { return all_begun() && idle_.size() == connections_.size(); }

  // When the next new request is due; with a rate limit they come evenly spaced.
  double next_due_s() const {
    if (options_.rate == 0) return start_s_;
    return start_s_ + static_cast<double>(begun_ * options_.body_records) / options_.rate;
  }

  double wait_s() const {
    double until = options_.duration_s > 0 ? start_s_ + options_.duration_s : 1e18;
    if (!idle_.empty() && begun_ < requests_wanted_) until = std::min(until, next_due_s());
    for (const Connection* connection : waiting_) until = std::min(until, connection->wait_until_s);
    return until > 1e17 ? -1 : std::max(0.0, until - monotonic_s());
  }

  void begin_what_is_due() {
    const double now = monotonic_s();
    std::erase_if(waiting_, [&](Connection* connection) {
      if (connection->wait_until_s > now) return false;
      connection->wait_until_s = 0;
      connection->sent = 0;
      send_on(*connection);
      return true;
    });
    while (!idle_.empty() && !all_begun() && next_due_s() <= now) {
      Connection* const connection = idle_.back();
      idle_.pop_back();
      connection->due_s = options_.rate == 0 ? now : next_due_s();
      begin(*connection);
    }
  }

  void begin(Connection& connection) {
    ++begun_;
    ++connection.turn;
    connection.busy = true;
    connection.sent = 0;
    Request& request = connection.request();
    for (const Request::Place& place : request.places) {
      write_digits(request.bytes.data() + place.id_at, kIdDigits, options_.first_id + record_);
      write_digits(request.bytes.data() + place.organisation_at, kOrganisationDigits,
                   options_.first_organisation + record_ % options_.organisations);
      ++record_;
    }
    send_on(connection);
  }

  void send_on(Connection& connection) {
    const std::string& bytes = connection.request().bytes;
    while (connection.sent < bytes.size()) {
      const ssize_t sent = send(connection.fd, bytes.data() + connection.sent,
                                bytes.size() - connection.sent, MSG_NOSIGNAL);
      if (sent < 0 && errno == EAGAIN) return;
      if (sent < 0) die("the server hung up during a request", true);
      connection.sent += static_cast<std::size_t>(sent);
    }
  }

  void advance(Connection& connection) {
    if (connection.busy && connection.wait_until_s == 0) send_on(connection);
    char answer[4096];
    for (;;) {
      const ssize_t got = recv(connection.fd, answer, sizeof answer, 0);
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) die("the server closed a connection", got < 0);
      connection.received.append(answer, static_cast<std::size_t>(got));
      const std::optional<Head> head = read_head(connection.received);
      if (head && connection.received.size() >= head->bytes + head->content_length) {
        on_answer(connection, *head);
        return;
      }
    }
  }

  void on_answer(Connection& connection, const Head& head) {
    const std::string body = connection.received.substr(head.bytes);
    const int status = head.status();
    if (status == 429 || status == 503) {
      ++refused_;
      const double retry_after = static_cast<double>(parse_number(head.header("retry-after")));
      connection.wait_until_s = monotonic_s() + std::clamp(retry_after, 0.05, 5.0);
      connection.received.clear();
      waiting_.push_back(&connection);
      return;
    }
    if (status != 200) die(fmt::format("answer {}: {}", status, body.substr(0, 500)));
    connection.received.clear();
    count_accepted(connection, body);
    connection.busy = false;
    if (options_.rate == 0 && !all_begun()) {
      connection.due_s = last_answer_s_;
      begin(connection);
    } else {
      idle_.push_back(&connection);
    }
  }

  void count_accepted(Connection& connection, const std::string& body) {
    constexpr std::string_view kAccepted = R"("accepted":)";
    const std::size_t at = body.find(kAccepted);
    const std::size_t digits = at == std::string::npos
                                   ? std::string::npos
                                   : body.find_first_of("0123456789", at + kAccepted.size());
    if (digits == std::string::npos) die("a 200 without \"accepted\": " + body);
    const std::uint64_t accepted = parse_number(std::string_view(body).substr(digits));
    if (accepted != options_.body_records) die("not all records of a body were accepted: " + body);
    accepted_ += accepted;
    body_bytes_ += connection.request().body_bytes;
    last_answer_s_ = monotonic_s();
    latencies_us_.push_back(static_cast<float>(1e6 * (last_answer_s_ - connection.due_s)));
  }

  double quantile_ms(double q) {
    if (latencies_us_.empty()) return 0;
    const auto last = static_cast<double>(latencies_us_.size() - 1);
    const auto nth = latencies_us_.begin() + static_cast<std::ptrdiff_t>(q * last);
    std::nth_element(latencies_us_.begin(), nth, latencies_us_.end());
    return *nth / 1e3;
  }

  const Options options_;
  Poller poller_;
  std::vector<Connection> connections_;
  std::vector<Connection*> idle_;
  std::vector<Connection*> waiting_;  // refused with 429 or 503
  std::uint64_t requests_wanted_ = 0;
  std::uint64_t begun_ = 0;
  std::uint64_t record_ = 0;
  std::uint64_t accepted_ = 0;
  std::uint64_t body_bytes_ = 0;
  std::uint64_t refused_ = 0;
  double start_s_ = 0;
  double last_answer_s_ = 0;
  double cpu_used_s_ = 0;
  std::vector<float> latencies_us_;
};

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  sluice::bench::Options options;
  CLI::App app{
      "Sends records as fast as they are acknowledged, or at a rate; prints one JSON line."};
  app.add_option("--url", options.url, "the server: http://HOST:PORT");
  app.add_option("--kind", options.kind)->check(CLI::IsMember({"usage", "events"}));
  app.add_option("--format", options.format)->check(CLI::IsMember({"ndjson", "array"}));
  app.add_option("--body-records", options.body_records, "records a body")
      ->check(CLI::PositiveNumber);
  app.add_option("--organisations", options.organisations, "record n belongs to the n modulo this")
      ->check(CLI::Range(1, 800'000));
  app.add_option("--first-organisation", options.first_organisation, "the first of them")
      ->check(CLI::Range(100'000, 199'999 + 700'000));
  app.add_option("--connections", options.connections)->check(CLI::Range(1, 10'000));
  app.add_option("--records", options.records, "stop after so many, rounded up to whole bodies");
  app.add_option("--duration", options.duration_s, "seconds; instead of --records");
  app.add_option("--rate", options.rate, "records/s; 0: as fast as they are acknowledged");
  app.add_option("--first-id", options.first_id, "ids count up from here");
  app.add_option("--seed", options.seed);
  app.add_option("--token", options.token, "sent as Authorization: Bearer");
  app.add_option("--query", options.query, "put behind the path, with its question mark");
  app.add_flag("--print", options.print, "print --records records, one a line, and send nothing");
  CLI11_PARSE(app, argc, argv);
  if (options.print) {
    sluice::bench::print_records(options);
    return 0;
  }
  sluice::bench::Load load(options);
  load.run();
  load.print();
}
