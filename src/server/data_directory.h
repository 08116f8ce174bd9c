#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "server/settings.h"

namespace sluice::server {

// The directory that holds everything: log/, journal/, catalog.db, quarantine.db, dead-letters.db,
// attempts.db, token.key, reserve, and two files of its own: LOCK (one server a directory) and
// installation (the identity sent in X-Sluice-Hops).
class DataDirectory {
 public:
  // Makes what is missing, readable by its owner alone, and takes the lock. Conflict: another
  // server runs on it.
  static Result<std::unique_ptr<DataDirectory>> open(const std::string& path);
  ~DataDirectory();  // gives the lock back
  DataDirectory(const DataDirectory&) = delete;
  DataDirectory& operator=(const DataDirectory&) = delete;

  const std::string& installation() const { return installation_; }

 private:
  DataDirectory(int lock, std::string installation)
      : lock_(lock), installation_(std::move(installation)) {}
  int lock_;
  std::string installation_;
};

// Where each part lies.
inline std::string log_directory(const std::string& data_dir) { return data_dir + "/log"; }
inline std::string journal_directory(const std::string& data_dir) { return data_dir + "/journal"; }
inline std::string catalog_path(const std::string& data_dir) { return data_dir + "/catalog.db"; }
inline std::string dead_letters_path(const std::string& data_dir) {
  return data_dir + "/dead-letters.db";
}
inline std::string quarantine_path(const std::string& data_dir) {
  return data_dir + "/quarantine.db";
}
inline std::string reserve_path(const std::string& data_dir) { return data_dir + "/reserve"; }
inline std::string attempts_path(const std::string& data_dir) { return data_dir + "/attempts.db"; }
inline std::string token_key_path(const std::string& data_dir) { return data_dir + "/token.key"; }
// Unless [secrets] key_file says otherwise, beside the directory, not in it: a copy of the
// directory alone opens no secret.
std::string secrets_key_path(const Settings& settings);

// Makes `path` if it is missing, readable by its owner alone. For commands that need no lock.
Result<void> make_data_directory(const std::string& path);

}  // namespace sluice::server
