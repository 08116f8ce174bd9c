#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "cli/commands.h"
#include "server/backup.h"
#include "server/data_directory.h"
#include "server/settings.h"

namespace sluice::cli {
namespace {

struct Options {
  std::optional<std::string> config;
  std::optional<std::string> data_dir;
  std::string place;  // of the backup
};

int fail(const char* command, std::string_view message, int status) {
  std::fprintf(stderr, "sluice %s: %.*s\n", command, static_cast<int>(message.size()),
               message.data());
  return status;
}

Result<server::Settings> settings_of(const Options& options) {
  auto settings = server::load_settings(options.config);
  if (settings && options.data_dir) settings->data_dir = *options.data_dir;
  return settings;
}

void say(const char* done, const std::string& place, const server::BackupSummary& summary) {
  std::printf("%s %s: %llu files, %llu bytes\n", done, place.c_str(),
              static_cast<unsigned long long>(summary.files),
              static_cast<unsigned long long>(summary.bytes));
}

int back_up(const Options& options) {
  const auto settings = settings_of(options);
  if (!settings) return fail("backup", settings.error().message, 2);
  const auto summary = server::back_up(settings->data_dir, options.place);
  if (!summary) return fail("backup", summary.error().message, 1);
  say("backed up to", options.place, *summary);
  std::fprintf(stderr, "the key that opens its secrets is not in it: keep a copy of %s elsewhere\n",
               server::secrets_key_path(*settings).c_str());
  return 0;
}

int restore(const Options& options) {
  const auto settings = settings_of(options);
  if (!settings) return fail("restore", settings.error().message, 2);
  const auto summary = server::restore(options.place, settings->data_dir, SystemClock().now());
  if (!summary) return fail("restore", summary.error().message, 1);
  say("restored to", settings->data_dir, *summary);
  std::fprintf(stderr, "the server needs the key of the backup's day, as %s\n",
               server::secrets_key_path(*settings).c_str());
  return 0;
}

CLI::App* add(CLI::App& app, const char* name, const char* summary, const char* place,
              const char* place_help, std::shared_ptr<Options> options) {
  CLI::App* command = app.add_subcommand(name, summary);
  command->add_option("--config", options->config, "The server's settings file (TOML)")
      ->type_name("FILE");
  command->add_option("--data-dir", options->data_dir, "The server's data directory")
      ->type_name("DIR");
  command->add_option(place, options->place, place_help)->type_name("DIR")->required();
  return command;
}

}  // namespace

void add_backup(CLI::App& app, int& exit_status) {
  auto options = std::make_shared<Options>();
  add(app, "backup", "Copies a data directory, also while a server uses it", "--to",
      "Where to; does not exist or is empty", options)
      ->callback([options, &exit_status] { exit_status = back_up(*options); });
}

void add_restore(CLI::App& app, int& exit_status) {
  auto options = std::make_shared<Options>();
  add(app, "restore", "Makes a backup a data directory again", "--from", "The backup", options)
      ->callback([options, &exit_status] { exit_status = restore(*options); });
}

}  // namespace sluice::cli
