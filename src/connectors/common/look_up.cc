#include "connectors/common/look_up.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace sluice::connectors {

const nlohmann::json* look_up(const nlohmann::json& record, std::string_view path) {
  const nlohmann::json* at = &record;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('.'), path.size());
    const auto found = at->is_object() ? at->find(path.substr(0, end)) : at->end();
    if (!at->is_object() || found == at->end()) return nullptr;
    at = &*found;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return at->is_null() ? nullptr : at;
}

std::string text_at(const nlohmann::json& record, std::initializer_list<std::string_view> paths) {
  for (const std::string_view path : paths) {
    const nlohmann::json* const value = look_up(record, path);
    if (value == nullptr || value->is_structured()) continue;
    return value->is_string() ? value->get<std::string>() : value->dump();
  }
  return "";
}

}  // namespace sluice::connectors
