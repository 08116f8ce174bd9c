#include <fmt/format.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "api/token.h"
#include "base/clock.h"
#include "catalog/registry.h"
#include "cli/child_process.h"
#include "cli/commands.h"
#include "cli/example_records.h"
#include "cli/http_post.h"
#include "cli/interrupt.h"
#include "server/data_directory.h"
#include "server/server.h"

namespace sluice::cli {
namespace {

using nlohmann::json;

constexpr std::uint64_t kOrganisation = 1;  // the simulator's first, and the examples'
constexpr std::chrono::milliseconds kRefresh(500);
constexpr std::int64_t kTokenMs = 30ll * 86'400'000;
constexpr int kUsageAndEvents = 3;  // data_stream_type

struct DemoOptions {
  std::string data_dir;  // "" = a fresh directory, removed at the end
  std::string listen = "127.0.0.1:8080";
  std::uint32_t rate = 200;
};

// The local receiver, as its own process, with the stream that delivers to it.
struct Target {
  std::string ledger = {};
  std::string address = {};
  std::optional<ChildProcess> process = std::nullopt;
  std::uint64_t stream = 0;
  std::string last_record = {};
  std::string verdict = {};  // of the last process that was stopped
  bool kept_faith = true;    // no process found a gap, a changed body or another order
};

// Lets single keys through while it lives, if standard input is a terminal.
class Keys {
 public:
  Keys() : terminal_(::isatty(STDIN_FILENO) == 1 && ::tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!terminal_) return;
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  ~Keys() {
    if (terminal_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Keys(const Keys&) = delete;
  Keys& operator=(const Keys&) = delete;

  char pressed() {
    pollfd ready{STDIN_FILENO, POLLIN, 0};
    char key = 0;
    if (terminal_ && ::poll(&ready, 1, 0) == 1 && ::read(STDIN_FILENO, &key, 1) == 1) return key;
    return 0;
  }

 private:
  termios before_{};
  bool terminal_;
};

class Demo {
 public:
  explicit Demo(const DemoOptions& options) : options_(options) {}
  ~Demo() {
    feed_.reset();
    target_.process.reset();
    client_.reset();
    server_.reset();
    if (fresh_) std::filesystem::remove_all(directory_);
  }

  Result<void> set_up();
  int watch(Interrupt& interrupt);

 private:
  Result<void> make_directory();
  Result<void> start_receiver();
  Result<void> start_server();
  Result<std::uint64_t> create_stream(std::string_view name, const json& destination);
  Result<void> create_streams();
  Result<void> send_examples();
  Result<json> call(std::string_view method, std::string_view path, std::string_view type,
                    std::string_view body);
  void stop_receiver();
  void toggle();
  void look_at_records();
  void show(const json& streams, double seconds);
  int sum_up();

  const DemoOptions options_;
  const bool screen_ = ::isatty(STDOUT_FILENO) == 1;
  std::string directory_;
  bool fresh_ = false;
  Target target_;
  std::uint64_t inspector_ = 0;  // the other stream
  std::unique_ptr<server::Server> server_;
  std::string token_;
  std::unique_ptr<HttpPost> client_;
  std::optional<ChildProcess> feed_;
  std::uint64_t accepted_before_ = 0;
  std::uint64_t delivered_before_ = 0;
  std::size_t lines_shown_ = 0;
};

Result<void> Demo::make_directory() {
  if (!options_.data_dir.empty()) {
    directory_ = options_.data_dir;
    return server::make_data_directory(directory_);
  }
  std::string name = std::filesystem::temp_directory_path() / "sluice-demo-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) {
    return Error{ErrorCode::Io, fmt::format("cannot make a directory like {}", name)};
  }
  directory_ = name;
  fresh_ = true;
  return {};
}

Result<void> Demo::start_receiver() {
  const std::string listen = target_.address.empty() ? "127.0.0.1:0" : target_.address;
  auto child = ChildProcess::start(
      {"receive", "--listen", listen, "--quiet", "--print-records", "--ledger", target_.ledger});
  if (!child) return child.error();
  const std::string line = child->read_line();
  constexpr std::string_view kBegin = "listening on http://";
  if (!line.starts_with(kBegin)) {
    return Error{ErrorCode::Unavailable, fmt::format("the receiver did not start at {}", listen)};
  }
  target_.address = line.substr(kBegin.size());
  target_.process = std::move(*child);
  return {};
}

Result<void> Demo::start_server() {
  server::Settings settings;
  settings.data_dir = directory_ + "/data";
  settings.listen = options_.listen;
  settings.level = "warn";
  settings.allow.push_back(target_.address);
  auto started = server::Server::start(settings);
  if (!started) return started.error();
  server_ = std::move(*started);

  const auto key = api::load_or_create_token_key(server::token_key_path(settings.data_dir));
  if (!key) return key.error();
  const WallTime now = SystemClock{}.now();
  const Identity demo{"demo", OrganisationId{kOrganisation}, Role::Operator};
  token_ = api::sign_token(*key, demo, now, WallTime{now.ms + kTokenMs});
  auto client = HttpPost::open({server_->url(), token_, {}});
  if (!client) return client.error();
  client_ = std::move(*client);
  return {};
}

Result<json> Demo::call(std::string_view method, std::string_view path, std::string_view type,
                        std::string_view body) {
  auto answer = client_->post({.path_and_query = path,
                               .content_type = type,
                               .body = body,
                               .idempotency_key = {},
                               .method = method});
  if (!answer) return answer.error();
  if (answer->status >= 300) {
    return Error{ErrorCode::Unavailable, fmt::format("{} {} was answered {}: {}", method, path,
                                                     answer->status, answer->body)};
  }
  return json::parse(answer->body, nullptr, false);
}

Result<std::uint64_t> Demo::create_stream(std::string_view name, const json& destination) {
  const json stream = {{"name", name},
                       {"data_stream_type", {{"id", kUsageAndEvents}}},
                       {"destination", destination},
                       {"delivery", {{"retry", {{"initial_ms", 500}, {"max_ms", 2000}}}}}};
  auto made = call("POST", "/api/v2/data_stream", "application/json", stream.dump());
  if (!made) return made.error();
  return made->value("id", std::uint64_t{0});
}

Result<void> Demo::create_streams() {
  const json webhook = {{"url", fmt::format("http://{}/in", target_.address)}, {"size", 500}};
  auto made = create_stream("receiver", {{"connection_type", "RestAPI"}, {"credentials", webhook}});
  if (!made) return made.error();
  target_.stream = *made;
  made = create_stream("inspector",
                       {{"connection_type", "Inspector"}, {"credentials", json::object()}});
  if (!made) return made.error();
  inspector_ = *made;
  return {};
}

Result<void> Demo::send_examples() {
  for (const ExampleRecords& example : example_records()) {
    const std::string path = fmt::format("/api/v2/records/{}?organisation_id={}",
                                         path_name(example.kind), kOrganisation);
    auto taken = call("POST", path, "application/x-ndjson", example.lines);
    if (!taken) return taken.error();
  }
  return {};
}

Result<void> Demo::set_up() {
  if (auto made = make_directory(); !made) return made;
  target_.ledger = directory_ + "/received.txt";
  if (auto started = start_receiver(); !started) return started;
  if (auto started = start_server(); !started) return started;
  {
    auto registry = catalog::open_sqlite_registry(server::catalog_path(directory_ + "/data"));
    if (!registry) return registry.error();
    const auto made = (*registry)->create_organisation({OrganisationId{kOrganisation}, "Demo"});
    if (!made) return made.error();
  }
  if (auto created = create_streams(); !created) return created;
  if (auto sent = send_examples(); !sent) return sent;
  auto feed = ChildProcess::start({"simulate", "--endpoints", "200", "--rate",
                                   std::to_string(options_.rate), "--url", server_->url(),
                                   "--token", token_});
  if (!feed) return feed.error();
  feed_ = std::move(*feed);
  return {};
}

// Its last line sums up what it found.
void Demo::stop_receiver() {
  std::string rest = target_.process->stop();
  target_.process.reset();
  while (!rest.empty() && rest.back() == '\n') rest.pop_back();
  target_.verdict = rest.substr(rest.rfind('\n') + 1);
  target_.kept_faith &=
      target_.verdict == "0 gaps, 0 out of order, 0 changed bodies, 0 inconsistent";
}

void Demo::toggle() {
  if (target_.process) return stop_receiver();
  if (auto started = start_receiver(); !started) {
    std::fprintf(stderr, "%s\n", started.error().message.c_str());
  }
}

void Demo::look_at_records() {
  if (!target_.process) return;
  std::string text = target_.process->read_available();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.empty()) return;
  const std::size_t line = text.rfind('\n');
  target_.last_record = line == std::string::npos ? text : text.substr(line + 1);
}

void Demo::show(const json& streams, double seconds) {
  std::string text;
  std::uint64_t accepted = 0;
  std::uint64_t delivered = 0;
  for (auto entry = streams.rbegin(); entry != streams.rend(); ++entry) {  // oldest first
    const json& stream = *entry;
    const auto id = stream.value("id", std::uint64_t{0});
    const bool inspected = id == inspector_;
    if (!inspected && id != target_.stream) continue;  // of an earlier demo
    const json& progress = stream["progress"];
    const auto lag = progress.value("lag_records", std::uint64_t{0});
    const auto sent = progress.value("delivered", std::uint64_t{0});
    accepted = std::max(accepted, progress.value("next_offset", std::uint64_t{0}) + lag);
    delivered += sent;
    text += fmt::format("{:<10} {:<9} delivered {:>9}  lag {:>7} records {:>4} s{}\n",
                        stream.value("name", ""), stream["status"].value("description", ""), sent,
                        lag, progress.value("lag_s", 0),
                        inspected         ? ""
                        : target_.process ? "  up"
                                          : "  DOWN");
    if (!screen_ || inspected) continue;
    const std::string error =
        stream["last_error"].is_string() ? stream["last_error"].get<std::string>() : "";
    text += fmt::format("   {:.100}\n", error.empty() ? target_.last_record : error);
  }
  const auto rate = [seconds](std::uint64_t now, std::uint64_t before) {
    return static_cast<double>(now - std::min(now, before)) / seconds;
  };
  const std::string head =
      fmt::format("in {:>6.0f} records/s   out {:>6.0f} records/s   {} on disk\n",
                  rate(accepted, accepted_before_), rate(delivered, delivered_before_), accepted);
  accepted_before_ = accepted;
  delivered_before_ = delivered;
  if (screen_) {
    std::string back;
    for (std::size_t i = 0; i < lines_shown_; ++i) back += "\x1b[A\x1b[2K";
    const std::string help = "1: stop or start the receiver   q: quit\n";
    text = head + text + help;
    lines_shown_ = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    std::fputs((back + text).c_str(), stdout);
  } else {
    std::fputs((head + text).c_str(), stdout);
  }
  std::fflush(stdout);
}

int Demo::watch(Interrupt& interrupt) {
  std::printf("Sluice runs at %s; its data lie in %s\n", server_->url().c_str(),
              directory_.c_str());
  std::printf(
      "What is delivered: curl -H 'Authorization: Bearer %s' "
      "'%s/api/v2/data_stream/%llu/inspector?limit=1'\n\n",
      token_.c_str(), server_->url().c_str(), static_cast<unsigned long long>(inspector_));
  Keys keys;
  auto before = std::chrono::steady_clock::now();
  while (interrupt.pause(kRefresh)) {
    const char key = keys.pressed();
    if (key == 'q') break;
    if (key == '1') toggle();
    look_at_records();
    const auto streams = call("GET", "/api/v2/data_stream", "", "");
    if (!streams || !streams->is_array()) {
      std::fprintf(stderr, "sluice demo: the streams cannot be listed\n");
      return 1;
    }
    const auto now = std::chrono::steady_clock::now();
    show(*streams, std::chrono::duration<double>(now - before).count());
    before = now;
  }
  return sum_up();
}

int Demo::sum_up() {
  feed_.reset();
  client_.reset();
  server_.reset();
  if (target_.process) stop_receiver();
  std::printf("receiver: %s%s\n", target_.verdict.c_str(),
              target_.kept_faith ? "" : "; a promise was broken");
  return target_.kept_faith ? 0 : 1;
}

int run_demo(const DemoOptions& options) {
  server::Settings wanted;
  wanted.listen = options.listen;
  if (auto good = server::check(wanted); !good) {
    std::fprintf(stderr, "sluice demo: %s\n", good.error().message.c_str());
    return 2;
  }
  Interrupt interrupt;  // before any thread exists
  Demo demo(options);
  if (auto ready = demo.set_up(); !ready) {
    std::fprintf(stderr, "sluice demo: %s\n", ready.error().message.c_str());
    return 1;
  }
  return demo.watch(interrupt);
}

}  // namespace

void add_demo(CLI::App& app, int& exit_status) {
  CLI::App* command = app.add_subcommand(
      "demo", "A server, a simulated SIM fleet, a receiver and an inspector, and how records flow");
  auto options = std::make_shared<DemoOptions>();
  command
      ->add_option("--data-dir", options->data_dir,
                   "Keep the data here (default: a fresh directory, removed at the end)")
      ->type_name("DIR");
  command->add_option("--listen", options->listen, "Address; port 0 takes a free one")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  command->add_option("--rate", options->rate, "Records a second of the simulated fleet")
      ->check(CLI::Range(1u, 100'000u))
      ->capture_default_str();
  command->callback([options, &exit_status] { exit_status = run_demo(*options); });
}

}  // namespace sluice::cli
