#pragma once
// Values of a record by their dotted path: "endpoint.name".

#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace sluice::connectors {

// Null: there is nothing, or null.
const nlohmann::json* look_up(const nlohmann::json& record, std::string_view path);

// At the first of the paths that has a scalar: a string as it is, else as JSON. "": at none.
std::string text_at(const nlohmann::json& record, std::initializer_list<std::string_view> paths);

}  // namespace sluice::connectors
