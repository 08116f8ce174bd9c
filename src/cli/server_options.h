#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/http_post.h"
#include "cli/interrupt.h"
#include "cli/record_sender.h"

namespace CLI {
class App;
}

namespace sluice::cli {

// How a command reaches a server; shared by those that feed one.
struct ServerOptions {
  std::string url;
  std::string token;
  std::string retry_for = "5m";
  bool skip_invalid = false;  // set by commands that have an option for it
};

// --url, --token, --retry-for, with SLUICE_URL and SLUICE_TOKEN from the environment. An empty
// `default_url`: without --url there is no server.
void add_server_options(CLI::App& command, ServerOptions& options, const std::string& default_url);

// A sender over a connection of its own. `interrupt` and what `report` refers to outlive it.
// InvalidArgument: an option cannot be used.
Result<std::unique_ptr<RecordSender>> connect(const ServerOptions& options, Interrupt& interrupt,
                                              std::function<void(std::string_view)> report);

}  // namespace sluice::cli
