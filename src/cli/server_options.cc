#include "cli/server_options.h"

#include <CLI/CLI.hpp>

#include "base/duration.h"

namespace sluice::cli {

void add_server_options(CLI::App& command, ServerOptions& options, const std::string& default_url) {
  options.url = default_url;
  command.add_option("--url", options.url, "The server")
      ->envname("SLUICE_URL")
      ->type_name("URL")
      ->capture_default_str();
  command.add_option("--token", options.token, "Its token: see `sluice token`")
      ->envname("SLUICE_TOKEN")
      ->type_name("TOKEN");
  command.add_option("--retry-for", options.retry_for, "How long to try again in trouble")
      ->type_name("DURATION")
      ->capture_default_str();
}

Result<std::unique_ptr<RecordSender>> connect(const ServerOptions& options, Interrupt& interrupt,
                                              std::function<void(std::string_view)> report) {
  const auto retry_for = parse_duration(options.retry_for);
  if (!retry_for) return retry_for.error();
  auto opened =
      HttpPost::open({options.url, options.token, [&interrupt] { return interrupt.stopped(); }});
  if (!opened) return opened.error();
  const std::shared_ptr<HttpPost> http = std::move(*opened);  // a std::function wants a copy
  RecordSender::Options sender;
  sender.post = [http](const PostRequest& request) { return http->post(request); };
  sender.pause = [&interrupt](std::chrono::milliseconds wait) { return interrupt.pause(wait); };
  sender.report = std::move(report);
  sender.retry_for = *retry_for;
  sender.gzip = !http->is_local();  // else it costs more than it saves
  sender.skip_invalid = options.skip_invalid;
  return std::make_unique<RecordSender>(std::move(sender));
}

}  // namespace sluice::cli
