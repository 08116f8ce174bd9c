#include "api/openapi.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>

#include "api/api_files.h"
#include "api/json_text.h"
#include "api/routes.h"
#include "api/schema.h"
#include "connectors/common/auth.h"
#include "egress/url.h"
#include "filters/filter.h"

namespace sluice::api {
namespace {

using nlohmann::ordered_json;

ordered_json reference(std::string_view kind, std::string_view name) {
  return {{"$ref", fmt::format("#/components/{}/{}", kind, name)}};
}

// --- connection types

// One field of a connector's schema.json.
ordered_json field_schema(const ordered_json& field) {
  ordered_json schema = ordered_json::object();
  if (field.contains("help")) schema["description"] = field.at("help");
  const std::string kind = field.at("kind");
  if (kind == "integer" || kind == "boolean") {
    schema["type"] = kind;
  } else if (kind == "headers") {
    schema["type"] = "array";
    schema["maxItems"] = kHeadersMax;
    schema["items"] = {{"type", "string"},
                       {"examples", ordered_json::array({"X-Api-Key: a-secret"})}};
  } else if (kind == "map") {
    schema["type"] = "object";
    schema["maxProperties"] = kMapMax;
    schema["additionalProperties"] = {{"type", "string"}, {"minLength", 1}};
  } else {
    schema["type"] = "string";
    if (field.value("default", "-") != "") schema["minLength"] = 1;
    if (kind == "url") schema["format"] = "uri";
    if (kind == "secret") schema["format"] = "password";
  }
  constexpr std::array<std::pair<const char*, const char*>, 4> kSame = {
      {{"min", "minimum"}, {"max", "maximum"}, {"values", "enum"}, {"default", "default"}}};
  for (const auto& [from, to] : kSame) {
    if (field.contains(from)) schema[to] = field.at(from);
  }
  return schema;
}

ordered_json object_schema(ordered_json properties, ordered_json required) {
  ordered_json schema = {{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = std::move(required);
  schema["additionalProperties"] = false;
  return schema;
}

ordered_json credentials_schema(const ordered_json& connector) {
  ordered_json properties = ordered_json::object();
  ordered_json required = ordered_json::array();
  for (const ordered_json& field : connector.at("fields")) {
    properties[field.at("key").get<std::string>()] = field_schema(field);
    if (field.value("required", false)) required.push_back(field.at("key"));
  }
  return object_schema(std::move(properties), std::move(required));
}

// In a change what is left out stays, and null takes a property away.
ordered_json credentials_change_schema(const ordered_json& connector) {
  ordered_json properties = ordered_json::object();
  for (const ordered_json& field : connector.at("fields")) {
    const bool required = field.value("required", false);
    ordered_json schema = field_schema(field);
    schema.erase("default");
    properties[field.at("key").get<std::string>()] =
        required ? schema : ordered_json{{"anyOf", {schema, {{"type", "null"}}}}};
  }
  return object_schema(std::move(properties), {});
}

ordered_json destination_schema(std::string_view type, ordered_json credentials,
                                ordered_json required) {
  ordered_json schema = object_schema({{"connection_type", {{"type", "string"}, {"const", type}}},
                                       {"format", reference("schemas", "Format")},
                                       {"credentials", std::move(credentials)}},
                                      std::move(required));
  return schema;
}

ordered_json create_example(const ordered_json& connector) {
  return {
      {"summary", connector.at("label")},
      {"value",
       {{"name", connector.at("label")},
        {"data_stream_type", {{"id", 2}}},
        {"destination",
         {{"connection_type", connector.at("type")}, {"credentials", connector.at("example")}}}}}};
}

// What a destination has beside its credentials where requests go out, or bytes over TLS.
void add_ways_out(ordered_json& properties, const connectors::ConnectorDescriptor& descriptor,
                  const std::string& suffix) {
  for (const std::string_view name : {"Signing", "Auth", "Ca"}) {
    const bool fits = descriptor.sends_http || (descriptor.speaks_tls && name != "Signing") ||
                      (descriptor.takes_ca && name == "Ca");
    if (!fits) continue;
    std::string property(name);
    property[0] = static_cast<char>(std::tolower(property[0]));
    properties[property] = reference("schemas", std::string(name) + suffix);
  }
}

void add_auth(ordered_json& schemas) {
  ordered_json whole = ordered_json::array();
  ordered_json changes = ordered_json::array({{{"type", "null"}}});
  for (const connectors::AuthType& type : connectors::auth_types()) {
    const ordered_json described = ordered_json::parse(type.schema_json);
    whole.push_back(credentials_schema(described));
    changes.push_back(credentials_change_schema(described));
  }
  schemas["Auth"] = {{"description", "What requests show of themselves."},
                     {"oneOf", std::move(whole)}};
  schemas["AuthChange"] = {{"anyOf", std::move(changes)}};
}

void add_connectors(ordered_json& components, const ConnectorTable& table) {
  ordered_json& schemas = components.at("schemas");
  ordered_json whole = ordered_json::array();
  ordered_json changes = ordered_json::array();
  ordered_json& examples = components.at("requestBodies")
                               .at("StreamCreate")
                               .at("content")
                               .at("application/json")
                               .at("examples");
  for (const connectors::ConnectorDescriptor* descriptor : table) {
    const std::string type(descriptor->type);
    const ordered_json connector = ordered_json::parse(descriptor->schema_json);
    ordered_json credentials = credentials_schema(connector);
    ordered_json required = ordered_json::array({"connection_type"});
    if (credentials.contains("required")) required.push_back("credentials");
    schemas[type] = destination_schema(type, std::move(credentials), std::move(required));
    schemas[type + "Change"] = destination_schema(type, credentials_change_schema(connector), {});
    add_ways_out(schemas[type]["properties"], *descriptor, "");
    add_ways_out(schemas[type + "Change"]["properties"], *descriptor, "Change");
    whole.push_back(reference("schemas", type));
    changes.push_back(reference("schemas", type + "Change"));
    if (connector.contains("example")) examples[type] = create_example(connector);
  }
  add_auth(schemas);
  schemas["Destination"] = {{"oneOf", std::move(whole)}};
  schemas["DestinationChange"] = {{"anyOf", std::move(changes)}};
}

void add_filter_fields(ordered_json& components) {
  ordered_json names = ordered_json::array();
  for (const filters::Field& field : filters::fields()) names.push_back(field.name);
  components.at("schemas")["FilterField"] = {{"type", "string"}, {"enum", std::move(names)}};
}

// --- calls

bool is_public(const Route& route) {
  return route.access == Access::Public || route.access == Access::Login ||
         route.access == Access::Metrics;
}

bool has_id(const Route& route) { return route.pattern.find("{id}") != std::string_view::npos; }

// "GET /api/v2/data_stream/{id}" -> "get_data_stream_id"
std::string operation_id(const Route& route) {
  std::string id;
  for (const char c : route.method) id += static_cast<char>(std::tolower(c));
  std::string_view path = route.pattern;
  for (const std::string_view prefix : {"/api/v1", "/api/v2", "/api"}) {
    if (path.starts_with(prefix)) path.remove_prefix(prefix.size());
  }
  for (const char c : path) {
    const bool letter = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
    if (letter || id.back() != '_') id += letter ? c : '_';
  }
  return id.substr(0, id.find_last_not_of('_') + 1);
}

std::string roles(const Route& route) {
  std::string list;
  for (std::size_t i = 0; i < kRoleNames.size(); ++i) {
    if (!allows(route.access, static_cast<Role>(i))) continue;
    list += fmt::format("{}{}", list.empty() ? "" : ", ", kRoleNames[i]);
  }
  return "Roles: " + list + ".";
}

ordered_json parameters(const Route& route) {
  ordered_json list = ordered_json::array();
  if (has_id(route)) list.push_back(reference("parameters", "id"));
  if (route.pattern.find("{replay_id}") != std::string_view::npos) {
    list.push_back(reference("parameters", "replay_id"));
  }
  for (const std::string_view name : route.query) list.push_back(reference("parameters", name));
  for (const std::string_view name : route.document.headers) {
    list.push_back(reference("parameters", name));
  }
  return list;
}

// The route's own answers, and those that follow from what it is.
ordered_json responses(const Route& route) {
  std::vector<std::string_view> refusals(route.document.refusals.begin(),
                                         route.document.refusals.end());
  refusals.insert(refusals.end(), {"400", "431", "500", "503"});
  if (!is_public(route)) refusals.insert(refusals.end(), {"401", "403"});
  if (route.access == Access::Metrics) refusals.insert(refusals.end(), {"401", "403"});
  if (!route.document.request.empty()) refusals.insert(refusals.end(), {"408", "413", "415"});
  const bool names_organisation =
      std::ranges::find(route.query, "organisation_id") != route.query.end();
  if (has_id(route) || names_organisation) refusals.push_back("404");
  std::ranges::sort(refusals);
  ordered_json answers = {
      {std::to_string(route.document.status), reference("responses", route.document.answer)}};
  for (const std::string_view refusal : refusals) {
    answers[std::string(refusal.substr(0, 3))] = reference("responses", refusal);
  }
  return answers;
}

ordered_json operation(const Route& route) {
  ordered_json call = {{"summary", route.summary}, {"operationId", operation_id(route)}};
  if (is_public(route)) {
    call["security"] = ordered_json::array();
    if (route.access == Access::Metrics) {
      call["description"] = "Beyond loopback it wants an operator's token.";
    }
  } else {
    call["description"] = roles(route);
    call["security"] = ordered_json::array({{{"bearer", ordered_json::array()}}});
  }
  ordered_json list = parameters(route);
  if (!list.empty()) call["parameters"] = std::move(list);
  if (!route.document.request.empty()) {
    call["requestBody"] = reference("requestBodies", route.document.request);
  }
  call["responses"] = responses(route);
  return call;
}

}  // namespace

std::string openapi_document(const ConnectorTable& connectors, std::string_view public_url) {
  ordered_json document = ordered_json::parse(files::openapi_json());
  document.at("info")["version"] = SLUICE_VERSION;
  // The path alone, so that the page calls the server that it came from.
  const Result<egress::Url> url = egress::parse_url(public_url);
  document.at("servers").at(0)["url"] = url ? url->target : "/";
  add_connectors(document.at("components"), connectors);
  add_filter_fields(document.at("components"));
  ordered_json& paths = document.at("paths");
  for (const Route& route : routes()) {
    if (route.document.answer.empty()) continue;
    std::string method(route.method);
    std::ranges::transform(method, method.begin(), [](unsigned char c) { return std::tolower(c); });
    paths[std::string(route.pattern)][method] = operation(route);
  }
  return to_text(document);
}

}  // namespace sluice::api
