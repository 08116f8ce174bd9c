#pragma once
// The key that seals the catalog's secrets: where it lies, whether it is the right one, and its
// change. It lies in a file of its own; while it is being changed, the new one lies beside it.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "catalog/secret_box.h"

namespace sluice::catalog {

// Opens or makes the catalog at `path`, and reads `key_file`, or makes it where nothing has been
// sealed yet. What earlier versions kept in clear is sealed, and no copy of it left in the file.
// Corruption: the key is missing or another one; the message says what to do. Blocks.
Result<SecretBox> open_secrets(const std::string& path, const std::string& key_file);

struct Rotation {
  std::uint64_t sealed = 0;      // secrets that lie under the new key now
  std::uint64_t unreadable = 0;  // neither key opens them: left as they were
};
// Gives the catalog a new key. Nobody else may have it open. Ended at any moment, it is finished
// when it is called again, and until then open_secrets() reads what lies under either key.
Result<Rotation> rotate_secrets(const std::string& path, const std::string& key_file);

// A secret of the server's own, made by `make` when it is first asked for. Blocks.
Result<std::string> server_secret(const std::string& path, const SecretBox& secrets,
                                  std::string_view name, std::string (*make)());

}  // namespace sluice::catalog
