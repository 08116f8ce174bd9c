#include "api/stream_auth.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "api/schema.h"
#include "api/stream_fields.h"
#include "connectors/common/auth.h"

namespace sluice::api {
namespace {

using connectors::AuthType;
using connectors::find_auth_type;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kPath = "destination.auth";

// Null: it names none, or none that there is.
const AuthType* type_of(const json& auth) {
  const json* const type = auth.is_object() ? find(auth, "type") : nullptr;
  if (type == nullptr || !type->is_string()) return nullptr;
  return find_auth_type(type->get_ref<const std::string&>());
}

}  // namespace

json parse_auth(const json& given, Faults& faults) {
  if (given.is_null()) return json();
  if (!given.is_object()) {
    faults.add(kPath, "must be an object");
    return json();
  }
  const AuthType* const type = type_of(given);
  if (type == nullptr) {
    std::string names;
    for (const AuthType& one : connectors::auth_types()) {
      names += fmt::format("{}{}", names.empty() ? "" : ", ", one.name);
    }
    faults.add(fmt::format("{}.type", kPath),
               "must be one of " + names + "; leave auth out for none");
    return json();
  }
  return complete_settings(type->schema_json, given, kPath, faults);
}

json parse_ca(const json& given, Faults& faults) {
  if (given.is_null() || given == "") return json();
  if (!given.is_string()) faults.add("destination.ca", "must be a string: certificates in PEM");
  return given;
}

void check_auth(const json& destination, Faults& faults) {
  const Result<connectors::AuthSettings> settings = connectors::read_auth(destination);
  if (!settings) return add_connector_fault(settings.error().message, "destination", faults);
  if (!destination.contains("auth")) return;
  const json headers = destination.at("credentials").value("headers", json::array());
  for (const json& header : headers) {
    if (!names_header(header, "Authorization")) continue;
    faults.add(kPath, "together with a header Authorization: give one of them");
  }
}

json merge_auth(const json& stored, const json& given) {
  const AuthType* const type = type_of(stored);
  if (!given.is_object() || type == nullptr) return given;
  const json* const other = find(given, "type");
  if (other != nullptr && *other != type->name) return given;
  return merge_settings(type->schema_json, stored, given);
}

void require_auth_anew(const json& stored, const json& given, const json& changed,
                       std::string_view moved, Faults& faults) {
  const AuthType* const type = type_of(stored);
  if (type == nullptr || type_of(changed) != type) return;
  const std::optional<std::string> target = moved_target(type->schema_json, stored, changed);
  if (moved.empty() && !target) return;
  require_secrets_anew(type->schema_json, stored, given.is_object() ? given : json::object(),
                       moved.empty() ? *target : moved, kPath, faults);
}

ordered_json mask_auth(const json& stored) {
  const AuthType* const type = type_of(stored);
  return type == nullptr ? ordered_json::object() : mask_settings(type->schema_json, stored);
}

}  // namespace sluice::api
