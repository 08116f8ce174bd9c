#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <cstdio>
#include <string>

#include "cli/commands.h"

namespace {

// A word where a command is to stand, and what could stand there; "": it is another fault.
std::string unknown_command(const CLI::App& app, int argc, char** argv) {
  const CLI::App* command = &app;
  const auto all = [](const CLI::App*) { return true; };
  for (int i = 1; i < argc && argv[i][0] != '-'; ++i) {
    const std::string word = argv[i];
    std::string known;
    const CLI::App* next = nullptr;
    for (const CLI::App* each : command->get_subcommands(all)) {
      known += (known.empty() ? "" : ", ") + each->get_name();
      if (each->get_name() == word) next = each;
    }
    if (known.empty()) return "";
    if (next == nullptr) {
      return fmt::format("{}: there is no command {}, but {}", command->get_name(), word, known);
    }
    command = next;
  }
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Sluice streams IoT records: in, onto disk, and out to where they are wanted.",
               "sluice"};
  app.set_version_flag("--version", SLUICE_VERSION);
  app.require_subcommand(1);
  int exit_status = 0;
  sluice::cli::add_serve(app, exit_status);
  sluice::cli::add_token(app, exit_status);
  sluice::cli::add_ingest(app, exit_status);
  sluice::cli::add_simulate(app, exit_status);
  sluice::cli::add_receive(app, exit_status);
  sluice::cli::add_log(app, exit_status);
  sluice::cli::add_secrets(app, exit_status);
  sluice::cli::add_backup(app, exit_status);
  sluice::cli::add_restore(app, exit_status);
  sluice::cli::add_demo(app, exit_status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& fault) {
    const std::string unknown = unknown_command(app, argc, argv);
    if (!unknown.empty()) {
      std::fprintf(stderr, "%s\n", unknown.c_str());
      return 2;
    }
    return app.exit(fault) == 0 ? 0 : 2;
  }
  return exit_status;
}
