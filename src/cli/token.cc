#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "api/token.h"
#include "base/clock.h"
#include "base/duration.h"
#include "base/fs.h"
#include "catalog/registry.h"
#include "cli/commands.h"
#include "server/data_directory.h"
#include "server/settings.h"

namespace sluice::cli {
namespace {

struct TokenOptions {
  std::optional<std::uint64_t> organisation;
  std::string role;
  std::string ttl = "24h";
  std::string data_dir = server::Settings{}.data_dir;
};

int fail(std::string_view message, int status) {
  std::fprintf(stderr, "sluice token: %.*s\n", static_cast<int>(message.size()), message.data());
  return status;
}

// The token's organisation exists from now on, known or not to the server.
Result<void> register_organisation(const std::string& data_dir, OrganisationId id) {
  auto registry = catalog::open_sqlite_registry(server::catalog_path(data_dir));
  if (!registry) return registry.error();
  const auto created = (*registry)->create_organisation({id, ""});
  if (created || created.error().code == ErrorCode::Conflict) return {};
  return created.error();
}

int token(const TokenOptions& options) {
  Identity identity;
  identity.subject = "sluice token";
  identity.role = *role_from_name(options.role);
  if (options.organisation) identity.organisation = OrganisationId{*options.organisation};
  if (!identity.organisation && identity.role != Role::Operator && identity.role != Role::Ingest) {
    return fail("--organisation is missing: only operator and ingest tokens do without one", 2);
  }
  const auto lifetime = parse_duration(options.ttl);
  if (!lifetime) return fail(lifetime.error().message, 2);
  if (lifetime->count() == 0) return fail("--ttl is 0: such a token would never be good", 2);
  const auto known = posix_file_system().exists(options.data_dir);
  if (auto made = server::make_data_directory(options.data_dir); !made) {
    return fail(made.error().message, 1);
  }
  if (known && !*known) {  // as before the first start, or mistyped
    std::fprintf(stderr,
                 "sluice token: there was no data directory %s: it has been made, and the token is "
                 "good for a server that is started on it\n",
                 options.data_dir.c_str());
  }
  if (identity.organisation) {
    if (auto done = register_organisation(options.data_dir, *identity.organisation); !done) {
      return fail(done.error().message, 1);
    }
  }
  const auto key = api::load_or_create_token_key(server::token_key_path(options.data_dir));
  if (!key) return fail(key.error().message, 1);
  const WallTime now = SystemClock{}.now();
  const WallTime expires{now.ms + lifetime->count()};
  std::printf("%s\n", api::sign_token(*key, identity, now, expires).c_str());
  return 0;
}

}  // namespace

void add_token(CLI::App& app, int& exit_status) {
  CLI::App* command = app.add_subcommand("token", "Prints a token (JWT) for the API");
  auto options = std::make_shared<TokenOptions>();
  command->add_option("--organisation", options->organisation, "The organisation it speaks for")
      ->check(CLI::Range(std::uint64_t{0}, catalog::kIdMax))
      ->type_name("ID");
  command->add_option("--role", options->role, "What it may do")
      ->required()
      ->check(CLI::IsMember(std::vector<std::string>(kRoleNames.begin(), kRoleNames.end())));
  command->add_option("--ttl", options->ttl, "How long it is good for")->capture_default_str();
  command->add_option("--data-dir", options->data_dir, "The server's data directory")
      ->type_name("DIR")
      ->capture_default_str();
  command->callback([options, &exit_status] { exit_status = token(*options); });
}

}  // namespace sluice::cli
