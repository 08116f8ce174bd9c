#include "connectors/connector.h"

#include <algorithm>

namespace sluice::connectors {

const ConnectorDescriptor* find_connector(std::string_view type) {
  for (const ConnectorDescriptor* descriptor : connector_table()) {
    if (descriptor->type == type) return descriptor;
  }
  return nullptr;
}

FirstStored first_stored(const std::vector<RecordRun>& runs, std::uint32_t records) {
  FirstStored first;
  for (const RecordRun& run : runs) {
    if (records == 0 || (first.usage_s != 0 && first.event_s != 0)) break;
    records -= std::min(records, run.count());
    std::uint32_t& of_kind = run.chunk->kind == Kind::Usage ? first.usage_s : first.event_s;
    const bool counts = run.chunk->kind == Kind::Usage || run.chunk->kind == Kind::Event;
    if (counts && of_kind == 0) {
      of_kind = static_cast<std::uint32_t>(run.chunk->stored.ms / 1000);
    }
  }
  return first;
}

}  // namespace sluice::connectors
