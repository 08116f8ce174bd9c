#include "connectors/common/message_key.h"

#include <simdjson.h>

#include <optional>

namespace sluice::connectors {
namespace {

std::optional<std::int64_t> sim_id(std::string_view record) {
  static thread_local simdjson::dom::parser parser;
  std::int64_t id = 0;
  if (parser.parse(record.data(), record.size())["sim"]["id"].get(id) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  return id;
}

}  // namespace

std::string message_key(const recordlog::Chunk& chunk, std::uint32_t index) {
  const std::int64_t endpoint = chunk.columns[index].endpoint_id;
  if (endpoint != RecordColumns::kAbsent) return std::to_string(endpoint);
  const std::optional<std::int64_t> sim = sim_id(chunk.record(index));
  return sim ? std::to_string(*sim) : std::to_string(chunk.organisation.value());
}

}  // namespace sluice::connectors
