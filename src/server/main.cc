#include <CLI/CLI.hpp>

#include "cli/commands.h"

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
    return app.exit(fault) == 0 ? 0 : 2;
  }
  return exit_status;
}
