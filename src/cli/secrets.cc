#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "catalog/secrets.h"
#include "cli/commands.h"
#include "server/data_directory.h"
#include "server/settings.h"

namespace sluice::cli {
namespace {

struct SecretsOptions {
  std::optional<std::string> config;
  std::optional<std::string> data_dir;
};

int fail(std::string_view message, int status) {
  std::fprintf(stderr, "sluice secrets rotate: %.*s\n", static_cast<int>(message.size()),
               message.data());
  return status;
}

int rotate(const SecretsOptions& options) {
  auto settings = server::load_settings(options.config);
  if (!settings) return fail(settings.error().message, 2);
  if (options.data_dir) settings->data_dir = *options.data_dir;
  const std::string catalog = server::catalog_path(settings->data_dir);
  if (!std::filesystem::exists(catalog)) {
    return fail("there is no " + catalog + ": name the data directory with --data-dir", 1);
  }
  // The server keeps the key in memory: it must not seal anything more with the old one.
  const auto directory = server::DataDirectory::open(settings->data_dir);
  if (!directory) return fail(directory.error().message, 1);
  const std::string key_file = server::secrets_key_path(*settings);
  const auto rotation = catalog::rotate_secrets(catalog, key_file);
  if (!rotation) return fail(rotation.error().message, 1);
  std::printf("%llu secrets are sealed with a new key: %s\n",
              static_cast<unsigned long long>(rotation->sealed), key_file.c_str());
  if (rotation->unreadable == 0) return 0;
  return fail(std::to_string(rotation->unreadable) +
                  " secrets were sealed with another key and are left as they were",
              1);
}

}  // namespace

void add_secrets(CLI::App& app, int& exit_status) {
  CLI::App* command = app.add_subcommand("secrets", "The key that seals secrets");
  command->require_subcommand(1);
  CLI::App* sub = command->add_subcommand(
      "rotate", "Makes a new key and seals everything with it; with the server stopped");
  auto options = std::make_shared<SecretsOptions>();
  sub->add_option("--config", options->config, "The server's settings file (TOML)")
      ->type_name("FILE");
  sub->add_option("--data-dir", options->data_dir, "The server's data directory")->type_name("DIR");
  sub->callback([options, &exit_status] { exit_status = rotate(*options); });
}

}  // namespace sluice::cli
