#include <fmt/format.h>
#include <simdjson.h>

#include <CLI/CLI.hpp>
#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/duration.h"
#include "base/io_threads.h"
#include "base/metrics.h"
#include "cli/commands.h"
#include "cli/delivery_ledger.h"
#include "cli/signals.h"
#include "http/server.h"
#include "signing/verifier.h"
#include "simulate/random.h"

namespace sluice::cli {
namespace {

constexpr std::uint64_t kBodyBytesMax = 256 << 20;
constexpr std::uint32_t kStopDeadlineMs = 2000;
constexpr int kUnauthorized = 401;

struct ReceiveOptions {
  std::string listen = "127.0.0.1:9000";
  bool verify = false;
  std::string secret;  // if `verify`; "" is none that was forgotten
  int status = 200;
  std::string delay = "0s";
  double fail_rate = 0;
  std::uint64_t seed = 1;
  bool quiet = false;
  bool print_records = false;
  std::string ledger;
};

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// What a stream's headers say; nullopt: not from a stream, or no part of what it promises (a test
// call, a replay).
std::optional<Arrival> read_headers(const http::RequestHead& head) {
  Arrival arrival;
  arrival.stream = head.header("X-Sluice-Stream");
  arrival.webhook_id = head.header("webhook-id");
  const std::string_view offsets = head.header("X-Sluice-Offsets");
  const std::size_t dash = offsets.find('-');
  if (arrival.stream.empty() || arrival.webhook_id.empty() || dash == std::string_view::npos ||
      !head.header("X-Sluice-Test").empty() || !head.header("X-Sluice-Replay").empty()) {
    return std::nullopt;
  }
  const auto first = number(offsets.substr(0, dash));
  const auto last = number(offsets.substr(dash + 1));
  if (!first || !last) return std::nullopt;
  arrival.first = *first;
  arrival.last = *last;
  arrival.previous = number(head.header("X-Sluice-Previous"));
  arrival.attempt = number(head.header("X-Sluice-Attempt")).value_or(1);
  return arrival;
}

struct SignatureCounts {
  std::uint64_t valid = 0;
  std::uint64_t missing = 0;
  std::uint64_t wrong = 0;
  std::uint64_t out_of_time = 0;
  bool all_valid() const { return missing + wrong + out_of_time == 0; }

  void add(signing::Verdict verdict) {
    switch (verdict) {
      case signing::Verdict::Valid: ++valid; return;
      case signing::Verdict::Missing: ++missing; return;
      case signing::Verdict::Wrong: ++wrong; return;
      case signing::Verdict::OutOfTime: ++out_of_time; return;
    }
  }
};

// Lives on the one I/O thread.
class Receiver final : public http::Handler {
 public:
  // Without a verifier nothing is said of signatures.
  Receiver(const ReceiveOptions& options, std::chrono::milliseconds delay,
           std::optional<signing::Verifier> verifier, IoThreads& threads)
      : options_(options),
        delay_(delay),
        verifier_(std::move(verifier)),
        threads_(threads),
        random_(options.seed) {}

  // Takes up an earlier ledger file, if there is one, and appends to it from now on.
  Result<void> open_ledger() {
    if (options_.ledger.empty()) return {};
    std::ifstream earlier(options_.ledger);
    for (std::string line; std::getline(earlier, line);) {
      if (earlier.eof()) break;  // half a line: its writer was killed
      if (auto restored = ledger_.restore(line); !restored) return restored.error();
    }
    ledger_file_.reset(std::fopen(options_.ledger.c_str(), "abe"));
    if (!ledger_file_) {
      return Error{ErrorCode::Io,
                   fmt::format("cannot write {}: {}", options_.ledger, std::strerror(errno))};
    }
    return {};
  }

  std::variant<TakeBody, http::Response> on_head(const http::RequestHead&) override {
    return TakeBody{kBodyBytesMax};
  }

  void on_request(const http::RequestHead& head, http::Body body,
                  http::Responder responder) override {
    const int status = receive(head, body);
    http::Response response;
    response.status = status;
    response.body = "{}";
    if (delay_.count() == 0) {
      std::move(responder).send(std::move(response));
      return;
    }
    const std::uint64_t id = next_pending_++;
    Pending& pending = pending_
                           .try_emplace(id, threads_.loop(head.io_thread), std::move(responder),
                                        std::move(response))
                           .first->second;
    pending.timer.expires_after(delay_);
    pending.timer.async_wait([this, id](const boost::system::error_code& error) {
      if (!error) answer(id);
    });
  }

  // From any thread: answers what still waits, and what comes, without delay.
  void hurry() {
    boost::asio::post(threads_.loop(0), [this] {
      delay_ = {};
      while (!pending_.empty()) answer(pending_.begin()->first);
    });
  }

  http::Response refusal(int status, std::string_view detail) override {
    std::fprintf(stderr, "refused with %d: %s\n", status, std::string(detail).c_str());
    http::Response response;
    response.status = status;
    response.body = "{}";
    return response;
  }

  // After the loops have stopped. Returns the exit status.
  int sum_up() const {
    const DeliveryLedger::Totals& totals = ledger_.totals();
    std::printf(
        "%llu records in %llu deliveries of %zu streams, %.1f MB; %llu refused, "
        "%llu repeats, %llu without a stream's headers\n",
        static_cast<unsigned long long>(totals.records),
        static_cast<unsigned long long>(totals.deliveries), ledger_.streams(),
        static_cast<double>(bytes_) / 1e6, static_cast<unsigned long long>(totals.refused),
        static_cast<unsigned long long>(totals.repeats),
        static_cast<unsigned long long>(unmarked_));
    std::printf("%llu gaps, %llu out of order, %llu changed bodies, %llu inconsistent%s\n",
                static_cast<unsigned long long>(totals.gaps),
                static_cast<unsigned long long>(totals.out_of_order),
                static_cast<unsigned long long>(totals.changed_bodies),
                static_cast<unsigned long long>(totals.inconsistent), signatures_text().c_str());
    return totals.violations() == 0 && signatures_.all_valid() && !ledger_failed_ ? 0 : 1;
  }

 private:
  struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  // A request that is answered after a while.
  struct Pending {
    Pending(boost::asio::io_context& loop, http::Responder responder_in, http::Response response_in)
        : timer(loop), responder(std::move(responder_in)), response(std::move(response_in)) {}
    boost::asio::steady_timer timer;
    http::Responder responder;
    http::Response response;
  };

  void answer(std::uint64_t id) {
    auto pending = pending_.extract(id);
    std::move(pending.mapped().responder).send(std::move(pending.mapped().response));
  }

  int choose_status() {
    const bool fail =
        random_.next() >> 11 < static_cast<std::uint64_t>(options_.fail_rate * 0x1p53);
    return fail ? 503 : options_.status;
  }

  std::string signatures_text() const {
    if (!verifier_) return "";
    return fmt::format("; signatures: {} valid, {} missing, {} wrong, {} out of time",
                       signatures_.valid, signatures_.missing, signatures_.wrong,
                       signatures_.out_of_time);
  }

  // Returns the status to answer.
  int receive(const http::RequestHead& head, http::Body& body) {
    bytes_ += body.size();
    const int status = choose_status();
    if (!verifier_) {
      look_at(head, body, status, "");
      return status;
    }
    const signing::Verification verification = verify(head, body);
    signatures_.add(verification.verdict);
    if (verification.verdict == signing::Verdict::Valid) {
      look_at(head, body, status, ", " + verification.text);
      return status;
    }
    refuse(head, body, verification.text);
    return kUnauthorized;
  }

  signing::Verification verify(const http::RequestHead& head, const http::Body& body) const {
    const std::array<std::string_view, 1> parts = {body.view()};
    return verifier_->verify({.webhook_id = head.header("webhook-id"),
                              .webhook_timestamp = head.header("webhook-timestamp"),
                              .webhook_signature = head.header("webhook-signature"),
                              .dt_signature = head.header("X-Dt-Signature"),
                              .body = parts},
                             SystemClock{}.now());
  }

  // The ledger learns nothing of it: anybody may have written what it says.
  void refuse(const http::RequestHead& head, const http::Body& body, const std::string& why) {
    const auto arrival = read_headers(head);
    const std::string from = arrival ? fmt::format("stream {} offsets {}-{}", arrival->stream,
                                                   arrival->first, arrival->last)
                                     : fmt::format("{} {}", head.method, head.path);
    const std::string line =
        fmt::format("{}: {} bytes -> {}, {}", from, body.size(), kUnauthorized, why);
    std::fprintf(stderr, "%s\n", line.c_str());
    say(line);
  }

  void look_at(const http::RequestHead& head, http::Body& body, int status,
               const std::string& signature) {
    const BodyHash hash = hash_body(body.view());
    const std::uint64_t records = count_records(body);
    auto arrival = read_headers(head);
    if (!arrival) {
      ++unmarked_;
      say(fmt::format("{} {}: {} records, {} bytes, without a stream's headers -> {}{}",
                      head.method, head.path, records, body.size(), status, signature));
      return;
    }
    arrival->records = records;
    arrival->body = hash;
    arrival->accepted = status >= 200 && status < 300;
    const Finding finding = ledger_.note(*arrival);
    const std::string line =
        fmt::format("stream {} offsets {}-{}: {} records, {} bytes, attempt {} -> {}, {}{}",
                    arrival->stream, arrival->first, arrival->last, records, body.size(),
                    arrival->attempt, status, finding.text, signature);
    if (is_violation(finding.verdict)) std::fprintf(stderr, "%s\n", line.c_str());
    say(line);
    if (arrival->accepted) keep(*arrival);
  }

  // Objects of an array, one for an object alone, 0 for what is no JSON. Prints them if asked to.
  std::uint64_t count_records(http::Body& body) {
    const simdjson::padded_string_view json(body.data(), body.size(),
                                            body.size() + http::Body::kPadding);
    simdjson::ondemand::document document;
    if (parser_.iterate(json).get(document) != simdjson::SUCCESS) return 0;
    std::string_view raw;
    simdjson::ondemand::object record;
    if (document.get_object().get(record) == simdjson::SUCCESS) {
      if (record.raw_json().get(raw) != simdjson::SUCCESS) return 0;
      print_record(raw);
      return 1;
    }
    simdjson::ondemand::array array;
    if (document.get_array().get(array) != simdjson::SUCCESS) return 0;
    std::uint64_t records = 0;
    for (auto element : array) {
      if (element.get_object().get(record) != simdjson::SUCCESS) return records;
      if (record.raw_json().get(raw) != simdjson::SUCCESS) return records;
      print_record(raw);
      ++records;
    }
    return records;
  }

  void print_record(std::string_view raw) {
    if (!options_.print_records) return;
    std::fwrite(raw.data(), 1, raw.size(), stdout);
    std::fputc('\n', stdout);
  }

  void say(const std::string& line) {
    if (!options_.quiet) std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }

  void keep(const Arrival& arrival) {
    if (!ledger_file_) return;
    const std::string line = DeliveryLedger::line(arrival) + "\n";
    const bool good = std::fwrite(line.data(), 1, line.size(), ledger_file_.get()) == line.size() &&
                      std::fflush(ledger_file_.get()) == 0;
    if (good || ledger_failed_) return;
    ledger_failed_ = true;
    std::fprintf(stderr, "cannot write %s: %s\n", options_.ledger.c_str(), std::strerror(errno));
  }

  const ReceiveOptions& options_;
  std::chrono::milliseconds delay_;
  const std::optional<signing::Verifier> verifier_;
  SignatureCounts signatures_;
  IoThreads& threads_;
  simulate::Random random_;
  std::map<std::uint64_t, Pending> pending_;
  std::uint64_t next_pending_ = 0;
  simdjson::ondemand::parser parser_;
  DeliveryLedger ledger_;
  std::unique_ptr<std::FILE, CloseFile> ledger_file_;
  bool ledger_failed_ = false;
  std::uint64_t bytes_ = 0;
  std::uint64_t unmarked_ = 0;
};

int fail(const Error& error, int status) {
  std::fprintf(stderr, "sluice receive: %s\n", error.message.c_str());
  return status;
}

Result<std::optional<signing::Verifier>> make_verifier(const ReceiveOptions& options) {
  if (!options.verify) return std::optional<signing::Verifier>();
  auto verifier = signing::Verifier::create(options.secret);
  if (verifier) return std::optional(*std::move(verifier));
  return Error{verifier.error().code,
               fmt::format("--secret {}: give it the stream's destination.signing.secret, or the "
                           "public half (whpk_) of a whsk_ one",
                           verifier.error().message)};
}

int run_receive(const ReceiveOptions& options) {
  StopSignals signals;  // before any thread exists: they inherit the mask
  const auto delay = parse_duration(options.delay);
  if (!delay) return fail(delay.error(), 2);
  auto verifier = make_verifier(options);
  if (!verifier) return fail(verifier.error(), 2);
  Metrics metrics;
  IoThreads threads(1);
  Receiver receiver(options, *delay, *std::move(verifier), threads);
  if (auto opened = receiver.open_ledger(); !opened) return fail(opened.error(), 1);
  http::Settings settings;
  settings.address = options.listen;
  settings.limits.body_bytes_in_memory_max = 2 * kBodyBytesMax;
  auto server = http::Server::listen(settings, threads, receiver, metrics);
  if (!server) {
    return fail(server.error(), server.error().code == ErrorCode::InvalidArgument ? 2 : 1);
  }
  threads.start();
  std::printf("listening on %s\n", (*server)->url().c_str());
  std::fflush(stdout);
  signals.wait();
  receiver.hurry();
  (*server)->stop(kStopDeadlineMs);
  threads.stop_and_join();
  return receiver.sum_up();
}

}  // namespace

void add_receive(CLI::App& app, int& exit_status) {
  CLI::App* command = app.add_subcommand(
      "receive",
      "A receiver to try things with: reports what arrives, and whether anything is "
      "missing, repeated, changed, out of order or wrongly signed");
  auto options = std::make_shared<ReceiveOptions>();
  command->add_option("--listen", options->listen, "Address; port 0 takes a free one")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  const CLI::Option* secret =
      command
          ->add_option("--secret", options->secret,
                       "The stream's signing secret: verify each request with it, and answer 401 "
                       "where that fails. whsec_..., whsk_... or its public half whpk_... is for "
                       "standard-webhooks, anything else for dt. dt-asymmetric has no secret and "
                       "is not verified")
          ->type_name("SECRET");
  command->add_option("--status", options->status, "Answer this")
      ->check(CLI::Range(200, 599))
      ->capture_default_str();
  command->add_option("--delay", options->delay, "Wait before each answer")
      ->type_name("DURATION")
      ->capture_default_str();
  command->add_option("--fail-rate", options->fail_rate, "Share of requests answered 503")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Decides which of them fail")->capture_default_str();
  command->add_flag("--quiet", options->quiet, "No line for each delivery");
  command->add_flag("--print-records", options->print_records, "Each record as a line");
  command
      ->add_option("--ledger", options->ledger,
                   "Append a line for each accepted delivery: stream first last records hash "
                   "webhook-id previous attempt. A receiver started again with it goes on from it")
      ->type_name("FILE");
  command->callback([options, secret, &exit_status] {
    options->verify = secret->count() > 0;
    exit_status = run_receive(*options);
  });
}

}  // namespace sluice::cli
