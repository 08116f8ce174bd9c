#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace sluice::cli {

// `text` packed fast; nullopt where that would not save a tenth.
std::optional<std::string> gzip_if_it_helps(std::string_view text);

}  // namespace sluice::cli
