#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/ids.h"

namespace sluice {

// What a token's holder may do (streams.md, Tokens and roles).
enum class Role : std::uint8_t { Operator, Admin, Developer, Viewer, Ingest };

inline constexpr std::array<std::string_view, 5> kRoleNames = {"operator", "admin", "developer",
                                                               "viewer", "ingest"};
constexpr std::string_view role_name(Role role) {
  return kRoleNames[static_cast<std::size_t>(role)];
}
constexpr std::optional<Role> role_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kRoleNames.size(); ++i) {
    if (kRoleNames[i] == name) return static_cast<Role>(i);
  }
  return std::nullopt;
}

// Whether who has the role `own` may hand out `role`: nobody hands out what is above his own, and
// to write records is not below reading them.
constexpr bool covers(Role own, Role role) {
  return own == role || own == Role::Operator || (own == Role::Admin && role != Role::Operator) ||
         (own == Role::Developer && role == Role::Viewer);
}

// Who makes a request, as its verified token says.
struct Identity {
  std::string subject;                         // `sub`
  std::optional<OrganisationId> organisation;  // `org`
  Role role = Role::Viewer;

  // Confined to its organisation. An operator's is what holds where nothing else says.
  bool bound() const { return organisation && role != Role::Operator; }
};

}  // namespace sluice
