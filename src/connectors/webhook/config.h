#pragma once
// A webhook's settings.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace sluice::connectors::webhook {

enum class Format : std::uint8_t { Json, JsonLines, Csv };

struct Config {
  std::string url;
  std::string shown_url;  // without the query, which may hold secrets: for messages
  std::string method = "POST";
  std::vector<std::pair<std::string, std::string>> headers;  // the values are secret
  std::uint32_t size = 3000;
  Format format = Format::Json;
  bool gzip = false;
  bool success_200_only = false;
  std::vector<std::string> secrets;  // as they might come back in an answer, the longest first
};

// `credentials` has passed the schema. InvalidArgument names the property and never shows a
// header's value.
Result<Config> read_config(const nlohmann::json& credentials);

// More that no message may show.
void add_secrets(Config& config, const std::vector<std::string>& more);

}  // namespace sluice::connectors::webhook
