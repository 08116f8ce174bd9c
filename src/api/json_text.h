#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::api {

enum class DuplicateKeys : std::uint8_t { LastCounts, Refused };

inline constexpr std::size_t kJsonDepthMax = 64;

// One JSON text (RFC 8259) and nothing behind it, at most kJsonDepthMax deep. InvalidArgument: says
// what is wrong and at which byte (from 1), and quotes nothing of the text: it may hold secrets.
Result<nlohmann::json> parse_json(std::string_view text, DuplicateKeys duplicate_keys);

// As text; never throws, whatever the strings hold.
std::string to_text(const nlohmann::json& value);
std::string to_text(const nlohmann::ordered_json& value);

}  // namespace sluice::api
