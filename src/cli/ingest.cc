#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cli/body_source.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/server_options.h"
#include "model/kind.h"

namespace sluice::cli {
namespace {

struct IngestOptions {
  std::string kind;
  std::vector<std::string> files;
  ServerOptions server;
};

class Ingest {
 public:
  explicit Ingest(const IngestOptions& options) : options_(options) {}

  int run() {
    auto sender = connect(options_.server, interrupt_,
                          [this](std::string_view sentence) { complain(sentence); });
    if (!sender) {
      complain(sender.error().message);
      return 2;
    }
    sender_ = std::move(*sender);
    bool good = true;
    for (const std::string& file : options_.files) {
      good = send_file(file);
      if (!good) break;  // what comes after may depend on it
    }
    progress_.clear();
    std::printf("%s\n", summary().c_str());
    return good ? 0 : 1;
  }

 private:
  bool send_file(const std::string& path) {
    auto source = BodySource::open(path, [this] { return interrupt_.stopped(); });
    if (!source) {
      complain(source.error().message);
      return false;
    }
    for (;;) {
      const auto body = (*source)->next();
      if (!body) {
        complain(body.error().message);
        return false;
      }
      if (!*body) return true;
      if (!send_body(**source, **body)) return false;
      show(**source);
    }
  }

  bool send_body(const BodySource& source, const Body& body) {
    const Kind kind = *kind_from_path_name(options_.kind);
    const SendResult result = sender_->send(kind, body.form, body.bytes);
    if (const auto* accepted = std::get_if<Accepted>(&result)) {
      accepted_ += accepted->records;
      rejected_ += accepted->rejected;
      if (accepted->replayed) replayed_ += accepted->records;
      complain(source, body, accepted->invalid);
      return true;
    }
    if (const auto* refused = std::get_if<Refused>(&result)) {
      complain(fmt::format("{}: {}", source.name(), refused->message));
      complain(source, body, refused->records);
    } else if (const auto* gave_up = std::get_if<GaveUp>(&result)) {
      complain(fmt::format("{}: given up: {}", source.name(), gave_up->message));
    } else {
      complain("stopped; the body under way may be stored or not");
    }
    return false;
  }

  void show(const BodySource& source) {
    if (!progress_.due()) return;
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start_;
    std::string bar;
    if (source.bytes_total() > 0) {
      const std::uint64_t marks = source.bytes_taken() * 20 / source.bytes_total();
      bar = fmt::format("[{:<20}] ", std::string(std::min<std::uint64_t>(marks, 20), '#'));
    }
    progress_.show(fmt::format("{} {}{:.1f} MB, {} records, {:.0f} records/s", source.name(), bar,
                               static_cast<double>(source.bytes_taken()) / 1e6, accepted_,
                               static_cast<double>(accepted_) / time.count()));
  }

  std::string summary() const {
    std::string text = fmt::format("accepted {} records", accepted_);
    if (rejected_ > 0) text += fmt::format(", {} invalid ones are in quarantine", rejected_);
    if (replayed_ > 0) text += fmt::format("; {} were stored at an earlier try", replayed_);
    return text;
  }

  void complain(const BodySource& source, const Body& body,
                const std::vector<InvalidRecord>& records) {
    for (const InvalidRecord& record : records) {
      const std::string place = record.line ? fmt::format("{}", body.first_line + *record.line - 1)
                                            : fmt::format("record {}", record.index);
      complain(fmt::format("{}:{}: {}", source.name(), place, record.message));
    }
  }

  void complain(std::string_view sentence) {
    progress_.clear();
    std::fprintf(stderr, "sluice ingest: %.*s\n", static_cast<int>(sentence.size()),
                 sentence.data());
  }

  const IngestOptions& options_;
  Interrupt interrupt_;
  Progress progress_;
  std::unique_ptr<RecordSender> sender_;
  std::uint64_t accepted_ = 0;
  std::uint64_t rejected_ = 0;
  std::uint64_t replayed_ = 0;  // of the accepted
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

void add_ingest(CLI::App& app, int& exit_status) {
  CLI::App* command = app.add_subcommand("ingest", "Send files of records to a server");
  auto options = std::make_shared<IngestOptions>();
  command->add_option("kind", options->kind, "usage or events")
      ->required()
      ->check(CLI::IsMember({"usage", "events"}))
      ->type_name("KIND");
  command
      ->add_option("files", options->files,
                   "Lines of JSON, or JSON; - is standard input. Sent in order, up to the first "
                   "trouble")
      ->required()
      ->type_name("FILE...");
  command->add_flag("--skip-invalid", options->server.skip_invalid,
                    "Go on with the valid records; the server keeps the invalid ones for its "
                    "operator");
  add_server_options(*command, options->server, "http://127.0.0.1:8080");
  command->callback([options, &exit_status] { exit_status = Ingest(*options).run(); });
}

}  // namespace sluice::cli
