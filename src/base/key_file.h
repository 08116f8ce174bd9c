#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice {

using KeyBytes = std::array<unsigned char, 32>;

// Reads the key file, or makes it: 32 random bytes, mode 0600, on stable storage on return. Several
// processes may call it at once; all get the same key. `what` names the key in errors ("token
// key"), `loss` what ends where it is deleted. Corruption: not 32 bytes. Io.
Result<KeyBytes> load_or_create_key(const std::string& path, std::string_view what,
                                    std::string_view loss);

// The same, but nullopt where there is no such file.
Result<std::optional<KeyBytes>> read_key(const std::string& path, std::string_view what);

}  // namespace sluice
