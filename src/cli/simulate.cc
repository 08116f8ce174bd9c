#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/duration.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/server_options.h"
#include "simulate/fleet.h"

namespace sluice::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kBodyBytes = 1'000'000;
constexpr milliseconds kTick(100);
constexpr milliseconds kOutputDuration = std::chrono::hours(1);

struct SimulateOptions {
  simulate::FleetOptions fleet;
  std::string dialect = "emnify";
  std::string kind = "all";
  std::string start;
  std::string duration;
  std::uint64_t records = 0;
  std::uint32_t rate = 0;
  std::string output;
  ServerOptions server;
};

// Where records go. False: no more can be taken; a failure's reason has been said.
class Destination {
 public:
  virtual ~Destination() = default;
  virtual bool take(const simulate::SimulatedRecord& record) = 0;
  virtual bool flush() = 0;
  virtual bool failed() const = 0;
  virtual void sum_up(const std::string& made) = 0;
};

class FileOutput final : public Destination {
 public:
  explicit FileOutput(const std::string& path)
      : file_(path == "-" ? stdout : std::fopen(path.c_str(), "wbe")), path_(path) {
    if (file_ == nullptr) (void)complain();
  }
  ~FileOutput() override {
    if (file_ != nullptr && file_ != stdout) std::fclose(file_);
  }
  bool failed() const override { return failed_; }

  bool take(const simulate::SimulatedRecord& record) override {
    const bool good =
        std::fwrite(record.json.data(), 1, record.json.size(), file_) == record.json.size() &&
        std::fputc('\n', file_) != EOF;
    return good || complain();
  }
  bool flush() override { return std::fflush(file_) == 0 || complain(); }
  void sum_up(const std::string& made) override {
    std::fprintf(stderr, "simulated %s\n", made.c_str());
  }

 private:
  // A reader that has seen enough (`| head`) is no failure.
  bool complain() {
    if (errno != EPIPE && !failed_) {
      failed_ = true;
      std::fprintf(stderr, "sluice simulate: cannot write %s: %s\n", path_.c_str(),
                   std::strerror(errno));
    }
    return false;
  }

  std::FILE* file_;
  std::string path_;
  bool failed_ = false;
};

class ServerOutput final : public Destination {
 public:
  ServerOutput(std::unique_ptr<RecordSender> sender, Progress& progress)
      : sender_(std::move(sender)), progress_(progress) {}
  bool failed() const override { return failed_; }

  bool take(const simulate::SimulatedRecord& record) override {
    std::string& body = record.kind == Kind::Usage ? usage_ : events_;
    body.append(record.json);
    body.push_back('\n');
    return body.size() < kBodyBytes || send(record.kind);
  }
  bool flush() override {
    const bool events_sent = events_.empty() || send(Kind::Event);
    return events_sent && (usage_.empty() || send(Kind::Usage));
  }
  void sum_up(const std::string& made) override {
    std::printf("accepted %llu records; simulated %s\n", static_cast<unsigned long long>(accepted_),
                made.c_str());
  }

 private:
  bool send(Kind kind) {
    std::string& body = kind == Kind::Usage ? usage_ : events_;
    const SendResult result = sender_->send(kind, BodyForm::Lines, body);
    body.clear();
    if (const auto* accepted = std::get_if<Accepted>(&result)) {
      accepted_ += accepted->records;
      return true;
    }
    failed_ = true;
    std::string why = "stopped; the body under way may be stored or not";
    if (const auto* refused = std::get_if<Refused>(&result)) {
      why = refused->message;
      if (!refused->records.empty()) why += ": " + refused->records.front().message;
    } else if (const auto* gave_up = std::get_if<GaveUp>(&result)) {
      why = "given up: " + gave_up->message;
    }
    progress_.clear();
    std::fprintf(stderr, "sluice simulate: %s\n", why.c_str());
    return false;
  }

  std::unique_ptr<RecordSender> sender_;
  Progress& progress_;
  std::string events_;
  std::string usage_;
  std::uint64_t accepted_ = 0;
  bool failed_ = false;
};

// What the options say, checked.
struct Plan {
  simulate::FleetOptions fleet;
  std::optional<Kind> kind;  // none: all
  bool to_server = false;
  std::uint64_t records_max = std::numeric_limits<std::uint64_t>::max();
  std::optional<milliseconds> duration;  // to a server: of the wall clock; else of simulated time
  std::uint32_t rate = 0;
};

Result<std::int64_t> parse_start(const std::string& text) {
  if (text == "now") return SystemClock().now().ms;
  int year = 0;
  unsigned month = 0, day = 0;
  int hour = 0, minute = 0, second = 0, used = 0;
  const int fields = std::sscanf(text.c_str(), "%4d-%2u-%2uT%2d:%2d:%2dZ%n", &year, &month, &day,
                                 &hour, &minute, &second, &used);
  using namespace std::chrono;
  const year_month_day date{std::chrono::year(year), std::chrono::month(month),
                            std::chrono::day(day)};
  const bool good = fields == 6 && used == static_cast<int>(text.size()) && date.ok() &&
                    year >= 1970 && hour < 24 && minute < 60 && second < 60 && hour >= 0 &&
                    minute >= 0 && second >= 0;
  if (!good) {
    return Error{ErrorCode::InvalidArgument,
                 fmt::format("--start '{}': write now or 2026-01-31T10:00:00Z", text)};
  }
  return duration_cast<milliseconds>(sys_days(date).time_since_epoch()).count() +
         ((hour * 60 + minute) * 60 + second) * 1000LL;
}

// SLUICE_URL is for all commands, so an output may stand against it.
bool names_server_and_output(const SimulateOptions& options) {
  const char* const usual = std::getenv("SLUICE_URL");
  return !options.output.empty() && !options.server.url.empty() &&
         (usual == nullptr || options.server.url != usual);
}

Result<Plan> make_plan(const SimulateOptions& options) {
  if (names_server_and_output(options)) {
    return Error{ErrorCode::InvalidArgument,
                 "--url and --output together: records go to a server or to a file, name one"};
  }
  Plan plan;
  plan.fleet = options.fleet;
  plan.fleet.dialect = *simulate::dialect_from_name(options.dialect);
  plan.kind = kind_from_path_name(options.kind);
  plan.to_server = options.output.empty() && !options.server.url.empty();
  plan.rate = options.rate;
  if (options.records > 0) plan.records_max = options.records;

  const std::uint64_t endpoints =
      std::uint64_t{options.fleet.organisations} * options.fleet.endpoints;
  if (endpoints > simulate::kSubscribersMax) {
    return Error{ErrorCode::InvalidArgument,
                 fmt::format("{} organisations of {} endpoints are more than {} SIMs",
                             options.fleet.organisations, options.fleet.endpoints,
                             simulate::kSubscribersMax)};
  }
  if (!options.duration.empty()) {
    const auto duration = parse_duration(options.duration);
    if (!duration) return duration.error();
    plan.duration = *duration;
  } else if (!plan.to_server && options.records == 0) {
    plan.duration = kOutputDuration;
  }
  const bool live = options.start.empty() ? plan.to_server : options.start == "now";
  if (live || !options.start.empty()) {
    const auto start = parse_start(live ? "now" : options.start);
    if (!start) return start.error();
    plan.fleet.start_ms = *start;
  }
  if (live) plan.fleet.records_per_second = plan.rate;  // simulated time keeps to the wall clock
  return plan;
}

class Simulation {
 public:
  Simulation(const Plan& plan, Destination& destination, Interrupt& interrupt, Progress& progress)
      : plan_(plan),
        fleet_(plan.fleet),
        destination_(destination),
        interrupt_(interrupt),
        progress_(progress) {}

  int run() {
    bool taken = true;
    while (taken && !ended_ && !interrupt_.stopped()) {
      taken = step();
      show();
    }
    if (taken) (void)destination_.flush();
    progress_.clear();
    destination_.sum_up(fmt::format("{} records: {} usage, {} events, {:.1f} MB", made_, counts_[0],
                                    counts_[1], static_cast<double>(bytes_) / 1e6));
    return destination_.failed() ? 1 : 0;
  }

 private:
  // What is due now, then a wait for more; without a rate, some more.
  bool step() {
    const std::chrono::duration<double> time = steady_clock::now() - begin_;
    if (plan_.to_server && plan_.duration && time >= *plan_.duration) {
      ended_ = true;
      return true;
    }
    constexpr std::uint64_t kUnpacedStep = 1000;
    const std::uint64_t due = plan_.rate == 0
                                  ? made_ + kUnpacedStep
                                  : static_cast<std::uint64_t>(time.count() * plan_.rate) + 1;
    // A server that holds us up is caught up with in small steps, so that an end is noticed.
    const std::uint64_t until = std::min({due, made_ + kUnpacedStep, plan_.records_max});
    while (made_ < until && !ended_) {
      if (!make_one()) return false;
    }
    ended_ = ended_ || made_ >= plan_.records_max;
    if (plan_.rate == 0 || ended_ || until < due) return true;
    if (!destination_.flush()) return false;
    (void)interrupt_.pause(kTick);
    return true;
  }

  bool make_one() {
    const simulate::SimulatedRecord record = fleet_.next();
    if (!plan_.to_server && plan_.duration &&
        record.time_ms >= plan_.fleet.start_ms + plan_.duration->count()) {
      ended_ = true;
      return true;
    }
    if (plan_.kind && record.kind != *plan_.kind) return true;
    ++made_;
    ++counts_[record.kind == Kind::Usage ? 0 : 1];
    bytes_ += record.json.size();
    return destination_.take(record);
  }

  void show() {
    if (!progress_.due()) return;
    const std::chrono::duration<double> time = steady_clock::now() - begin_;
    progress_.show(fmt::format("{} records, {:.1f} MB, {:.0f} records/s", made_,
                               static_cast<double>(bytes_) / 1e6,
                               static_cast<double>(made_) / time.count()));
  }

  const Plan& plan_;
  simulate::Fleet fleet_;
  Destination& destination_;
  Interrupt& interrupt_;
  Progress& progress_;
  const steady_clock::time_point begin_ = steady_clock::now();
  bool ended_ = false;
  std::uint64_t made_ = 0;
  std::uint64_t bytes_ = 0;
  std::array<std::uint64_t, 2> counts_{};  // usage, events
};

int fail(const std::string& message, int status) {
  std::fprintf(stderr, "sluice simulate: %s\n", message.c_str());
  return status;
}

int run_simulate(const SimulateOptions& options) {
  Interrupt interrupt;
  Progress progress;
  const auto plan = make_plan(options);
  if (!plan) return fail(plan.error().message, 2);
  std::unique_ptr<Destination> destination;
  if (plan->to_server) {
    auto sender = connect(options.server, interrupt, [&progress](std::string_view sentence) {
      progress.clear();
      std::fprintf(stderr, "sluice simulate: %s\n", std::string(sentence).c_str());
    });
    if (!sender) return fail(sender.error().message, 2);
    destination = std::make_unique<ServerOutput>(std::move(*sender), progress);
  } else {
    auto file = std::make_unique<FileOutput>(options.output.empty() ? "-" : options.output);
    if (file->failed()) return 1;
    destination = std::move(file);
  }
  return Simulation(*plan, *destination, interrupt, progress).run();
}

}  // namespace

void add_simulate(CLI::App& app, int& exit_status) {
  CLI::App* command = app.add_subcommand(
      "simulate",
      "A believable SIM fleet, to a server or as lines of JSON. The same seed and "
      "options give the same records");
  auto options = std::make_shared<SimulateOptions>();
  simulate::FleetOptions& fleet = options->fleet;
  const auto positive = CLI::Range(1U, simulate::kSubscribersMax);
  command->add_option("--organisations", fleet.organisations, "How many")
      ->check(positive)
      ->capture_default_str();
  command->add_option("--first-organisation", fleet.first_organisation_id, "Id of the first")
      ->capture_default_str();
  command->add_option("--endpoints", fleet.endpoints, "Of each organisation")
      ->check(positive)
      ->capture_default_str();
  command->add_option("--seed", fleet.seed)->capture_default_str();
  command->add_option("--rate", options->rate, "Records a second; 0: as fast as possible")
      ->capture_default_str();
  command
      ->add_option("--duration", options->duration,
                   "How long, as in 10s, 5m, 1h: to a server of the wall clock (default: until "
                   "stopped), to an output of simulated time (default: 1h)")
      ->type_name("DURATION");
  command->add_option("--records", options->records, "End after so many; 0: no such end")
      ->capture_default_str();
  command
      ->add_option("--start", options->start,
                   "Simulated time: now, or as in 2026-01-31T10:00:00Z. Default: now to a server, "
                   "where waits then fit --rate; 2026-01-01T00:00:00Z to an output")
      ->type_name("TIME");
  command->add_flag("--all-types", fleet.all_types,
                    "Begin with an event of each type in the catalogue");
  command->add_option("--dialect", options->dialect, "Whose records: emnify, classic or 1nce")
      ->check(CLI::IsMember({"emnify", "classic", "1nce"}))
      ->capture_default_str();
  command
      ->add_option("--kind", options->kind,
                   "usage, events or all (which a server takes on different paths)")
      ->check(CLI::IsMember({"usage", "events", "all"}))
      ->capture_default_str();
  command
      ->add_option("--output", options->output,
                   "Lines to this file, - for standard output: the default without --url")
      ->type_name("FILE");
  add_server_options(*command, options->server, "");
  command->callback([options, &exit_status] { exit_status = run_simulate(*options); });
}

}  // namespace sluice::cli
