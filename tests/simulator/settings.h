#pragma once
// A simulated stream's settings: as people mean them, and as its row in the catalog says them.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/catalog.h"
#include "connectors/connector.h"
#include "dispatch/delivery_settings.h"
#include "simulator/world.h"

namespace sluice::simulator {

// What a stream's filters let pass, beside the product's own judgement of them.
struct Want {
  std::vector<std::int64_t> endpoints;  // empty: all
  bool by_name = false;                 // asks for endpoint_name, which no column has
  std::string json() const;
  static Want of(const std::string& json);
  bool passes(const Record& record) const;
};

struct Settings {
  Want want;
  connectors::BatchLimits limits;
  dispatch::DeliverySettings delivery;
  std::uint32_t target = 0;  // of its records
  std::uint32_t secret = 0;
  // The row's numbers of it.
  std::uint32_t revision = 0;
  std::uint32_t filter_revision = 0;
  std::uint32_t render_revision = 0;
  std::uint32_t destination_revision = 0;

  std::string destination_json() const;
  std::string delivery_json() const;
  // What the API asks the catalog for, and the numbers that this is to give them.
  catalog::StreamChange change_from(const Settings& before) const;
  void number_behind(const Settings& before);
  void put(catalog::Stream& row) const;
  bool is_in(const catalog::Stream& row) const;

 private:
  bool is_rendered_otherwise(const Settings& before) const;
};

// The connection type of all simulated streams; as connectors::find_connector().
const connectors::ConnectorDescriptor* find_simulated(std::string_view type);
// For what never sends by itself.
const connectors::ConnectorContext& no_context();

}  // namespace sluice::simulator
