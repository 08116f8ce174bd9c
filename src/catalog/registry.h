#pragma once
// Organisations as the operator sets them up, and the application tokens that their admins make.
// Part of the catalog; only the API asks for it.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "catalog/catalog.h"
#include "model/identity.h"
#include "model/ids.h"

namespace sluice::catalog {

// Nullopt stays as it is; "" takes away.
struct OrganisationChange {
  std::optional<std::string> name = {};
  std::optional<std::string> company_id = {};
  std::optional<std::string> project = {};
};

struct ApplicationToken {
  ApplicationTokenId id;
  OrganisationId organisation;
  std::string name;
  Role role = Role::Viewer;
  std::string key_id;  // random, unique, never reused
  std::string secret;  // sealed (secret_box.h)
  WallTime created;
};

// Durability, threads, errors: as Catalog.
class Registry {
 public:
  virtual ~Registry() = default;

  // In the order of ids, those behind `after`.
  virtual Result<std::vector<Organisation>> organisations(std::optional<OrganisationId> after,
                                                          std::size_t limit) = 0;
  // Conflict: it exists, or its company_id or project is another's. InvalidArgument: an id above
  // kIdMax.
  virtual Result<Organisation> create_organisation(const Organisation& organisation) = 0;
  // NotFound; Conflict as above.
  virtual Result<Organisation> change_organisation(OrganisationId id,
                                                   const OrganisationChange& change) = 0;

  // Gives the token its id; `id` and `created` of the argument are ignored. ResourceExhausted: the
  // organisation has `count_max` already. NotFound: no such organisation.
  virtual Result<ApplicationToken> create_application_token(ApplicationToken token,
                                                            std::size_t count_max,
                                                            WallTime now) = 0;
  // In the order of ids, those behind `after`. Nullopt: of every organisation.
  virtual Result<std::vector<ApplicationToken>> application_tokens(
      std::optional<OrganisationId> organisation, ApplicationTokenId after, std::size_t limit) = 0;
  virtual Result<std::optional<ApplicationToken>> application_token(std::string_view key_id) = 0;
  // Returns what it deleted. NotFound also when it belongs to another organisation than the given.
  virtual Result<ApplicationToken> delete_application_token(
      std::optional<OrganisationId> organisation, ApplicationTokenId id) = 0;
};

// Its own connection to the catalog's file; errors as open_sqlite().
Result<std::unique_ptr<Registry>> open_sqlite_registry(const std::string& path);

}  // namespace sluice::catalog
