#pragma once
// From a stream's row in the catalog to what its machine and its connector work with. Internal to
// dispatch.

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "catalog/catalog.h"
#include "connectors/connector.h"
#include "dispatch/stream_machine.h"
#include "model/kind.h"

namespace sluice::dispatch {

using FindConnector = std::function<const connectors::ConnectorDescriptor*(std::string_view type)>;

struct StreamSetup {
  StreamMachine::Settings settings;
  // One for each request at a time. Empty if `settings.unusable`; what `context` names outlives it.
  std::function<std::unique_ptr<connectors::Connector>()> make_connector;
  std::string host;  // it sends to, or what stands for it; "" = none
};

// Whatever is wrong with the row becomes the stream's own error.
StreamSetup set_up(const catalog::Stream& row, const FindConnector& find_connector,
                   const connectors::ConnectorContext& context);

// Whom a stream that begins again shares its turns with: the host that its settings name, a
// broker's address as it is given, else the service, in its region if it has one. "": nothing goes
// out.
std::string host_of(const std::string& type, const nlohmann::json& credentials);

// Of a data_stream_type; empty: this version has no such type.
KindSet kinds_of(std::uint32_t type);

}  // namespace sluice::dispatch
