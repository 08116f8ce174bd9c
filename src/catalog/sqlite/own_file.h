#pragma once
// Databases beside the catalog, each a file of its own with one schema.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "catalog/sqlite/database.h"

namespace sluice::catalog {

struct OwnFile {
  std::string_view name;        // in messages
  std::int64_t application_id;  // in the file's header
  std::int64_t schema_version;
  std::string_view configure;  // at each opening
  std::string_view schema;     // of an empty file
  Database::Room room = Database::Room::OnDisk;
};

// Opens or makes `path` (mode 0600). Corruption: another kind of file, or of another version.
Result<Database> open_own_file(const std::string& path, const OwnFile& file);

// The wrappers speak for the catalog; this one's name instead.
Error renamed(Error error, std::string_view name);

}  // namespace sluice::catalog
