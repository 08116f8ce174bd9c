#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "server/settings.h"

namespace sluice::server {

// The whole server: builds the graph in start(), takes it down in the reverse order. Threads: one
// owner, not an I/O thread.
class Server {
 public:
  // Ready for requests on return: recovery is done, streams are at work. `settings` has passed
  // check(). Errors are one sentence for a person.
  static Result<std::unique_ptr<Server>> start(const Settings& settings);
  // Within 10 s: no new connections or batches; requests under way are answered; deliveries under
  // way get 5 s, then are abandoned and sent again on the next start.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::string url() const;        // "http://127.0.0.1:8080"
  std::string admin_url() const;  // "" without server.admin_listen

  // Reads certificate and key again; connections stay. A pair that cannot be used is logged and
  // the old one stays.
  void reload_certificate();
  // From now on the tokens of these count, their key files read anew, and no others'. Where one
  // cannot be used that is logged, and those before stay.
  void reload_issuers(const std::vector<api::IssuerSettings>& issuers);

 private:
  struct Graph;
  explicit Server(std::unique_ptr<Graph> graph);
  std::unique_ptr<Graph> graph_;
};

}  // namespace sluice::server
