#include "api/destination_claims.h"

#include <nlohmann/json.hpp>
#include <string>

namespace sluice::api {
namespace {

using nlohmann::json;

// "" = it claims nothing.
std::string claim_of(const catalog::Stream& stream, const ConnectorTable& table) {
  const json destination = json::parse(stream.destination, nullptr, /*allow_exceptions=*/false);
  if (!destination.is_object() || !destination.contains("credentials")) return "";
  const std::string type = destination.value("connection_type", "");
  const connectors::ConnectorDescriptor* connector = find_connector(table, type);
  if (connector == nullptr || connector->claim == nullptr) return "";
  return type + connector->claim(destination.at("credentials"));
}

bool share_a_kind(std::uint32_t type, std::uint32_t other) {
  const KindSet kinds = kinds_of(type);
  const KindSet others = kinds_of(other);
  return (kinds.contains(Kind::Usage) && others.contains(Kind::Usage)) ||
         (kinds.contains(Kind::Event) && others.contains(Kind::Event));
}

}  // namespace

Result<void> check_claim(catalog::Catalog& catalog, const ConnectorTable& table,
                         const catalog::Stream& stream, Faults& faults) {
  const std::string claim = claim_of(stream, table);
  if (claim.empty()) return {};
  const Result<std::vector<catalog::Stream>> streams = catalog.all_streams();
  if (!streams) return streams.error();
  for (const catalog::Stream& other : *streams) {
    if (other.id == stream.id || !share_a_kind(stream.type, other.type)) continue;
    if (other.replaced_by) continue;
    if (claim_of(other, table) != claim) continue;
    faults.add("destination.credentials",
               "another stream of this server writes records of this kind there, and the two would "
               "overwrite each other's: choose another prefix or target");
    break;
  }
  return {};
}

}  // namespace sluice::api
