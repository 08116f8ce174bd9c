#include "connectors/connector.h"

namespace sluice::connectors {

const ConnectorDescriptor* find_connector(std::string_view type) {
  for (const ConnectorDescriptor* descriptor : connector_table()) {
    if (descriptor->type == type) return descriptor;
  }
  return nullptr;
}

}  // namespace sluice::connectors
