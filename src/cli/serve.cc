#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>

#include "base/logging.h"
#include "cli/commands.h"
#include "cli/signals.h"
#include "server/server.h"
#include "server/settings.h"

namespace sluice::cli {
namespace {

struct ServeOptions {
  std::optional<std::string> config;
  std::optional<std::string> data_dir;
  std::optional<std::string> listen;
  bool check_config = false;
  bool print_config = false;
};

int fail(const Error& error, int status) {
  std::fprintf(stderr, "sluice serve: %s\n", error.message.c_str());
  return status;
}

// What SIGHUP asks for. Of the settings the issuers alone are looked at again.
void reload(server::Server& server, const std::optional<std::string>& config) {
  server.reload_certificate();
  const auto settings = server::load_settings(config);
  if (settings) return server.reload_issuers(settings->issuers);
  logging::warn("the issuers were not read again, those in use stay",
                {{"reason", settings.error().message}});
}

int serve(const ServeOptions& options) {
  if (options.print_config) {
    std::fputs(server::settings_text().c_str(), stdout);
    return 0;
  }
  StopSignals signals;  // before any thread exists: they inherit the mask
  auto settings = server::load_settings(options.config);
  if (!settings) return fail(settings.error(), 2);
  if (options.data_dir) settings->data_dir = *options.data_dir;
  if (options.listen) settings->listen = *options.listen;
  if (auto checked = server::check(*settings); !checked) return fail(checked.error(), 2);
  constexpr const char* kForeign = "a variable of the environment means nothing to sluice";
  for (const std::string& name : server::foreign_environment()) {
    logging::warn(kForeign, {{"variable", name}});
  }
  if (options.check_config) {
    std::puts("the settings can be used");
    return 0;
  }

  auto server = server::Server::start(*settings);
  if (!server) return fail(server.error(), 1);
  std::printf("listening on %s\n", (*server)->url().c_str());
  std::fflush(stdout);

  int signal = signals.wait();
  for (; signal == SIGHUP; signal = signals.wait()) reload(**server, options.config);
  logging::info("stopping", {{"signal", signal}});
  server->reset();
  logging::info("stopped");
  return 0;
}

}  // namespace

void add_serve(CLI::App& app, int& exit_status) {
  CLI::App* command = app.add_subcommand("serve", "The server: API and ingest on one port");
  auto options = std::make_shared<ServeOptions>();
  command->add_option("--config", options->config, "Settings file (TOML)")->type_name("FILE");
  command->add_option("--data-dir", options->data_dir, "Where records and streams are kept")
      ->type_name("DIR");
  command->add_option("--listen", options->listen, "Address; port 0 takes a free one")
      ->type_name("HOST:PORT");
  command->add_flag("--check-config", options->check_config,
                    "Only check the settings: exit status 0, or 2 and what is wrong");
  command->add_flag("--print-config", options->print_config,
                    "Print all settings with their defaults, as a settings file");
  command->callback([options, &exit_status] { exit_status = serve(*options); });
}

}  // namespace sluice::cli
