#pragma once
// The program's commands, one file each. Each function adds its subcommand to `app`; when the
// command line names it, its callback runs the command and stores the exit status (0, 1 failed,
// 2 used wrongly). Results go to standard output, diagnostics to standard error.

namespace CLI {
class App;
}

namespace sluice::cli {

void add_serve(CLI::App& app, int& exit_status);
void add_token(CLI::App& app, int& exit_status);
void add_ingest(CLI::App& app, int& exit_status);
void add_secrets(CLI::App& app, int& exit_status);
void add_simulate(CLI::App& app, int& exit_status);
void add_receive(CLI::App& app, int& exit_status);
void add_log(CLI::App& app, int& exit_status);
void add_backup(CLI::App& app, int& exit_status);
void add_restore(CLI::App& app, int& exit_status);
void add_demo(CLI::App& app, int& exit_status);

}  // namespace sluice::cli
