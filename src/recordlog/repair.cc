#include "recordlog/repair.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "recordlog/local/log_context.h"
#include "recordlog/local/recovery.h"

namespace sluice::recordlog {
namespace {

Result<std::vector<Finding>> find_damage(FileSystem& fs, const std::string& directory) {
  Result<std::vector<Finding>> findings = verify_log(fs, directory);
  if (findings) {
    std::erase_if(*findings, [](const Finding& finding) {
      return finding.severity != Finding::Severity::Damage;
    });
  }
  return findings;
}

}  // namespace

Result<RepairReport> repair_log(FileSystem& fs, const Clock& clock, const std::string& directory) {
  RepairReport report;
  auto found = find_damage(fs, directory);
  if (!found) return found.error();
  report.found = *std::move(found);

  LocalSettings settings;
  settings.directory = directory;
  const Result<std::uint32_t> partitions = count_partitions(fs, directory);
  if (!partitions) return partitions.error();
  settings.partitions = *partitions;
  const std::string quarantine_directory = directory + "/quarantine";
  if (auto made = fs.create_directories(quarantine_directory); !made) return made.error();
  Metrics metrics;
  auto quarantine = Quarantine::open(fs, quarantine_directory, metrics);
  if (!quarantine) return quarantine.error();
  LogContext context(settings, {fs, clock, metrics}, *std::move(quarantine));
  for (std::uint32_t i = 0; i < settings.partitions; ++i) {
    const auto recovered = recover_partition(context, i, RecoveryMode::Repair);
    if (!recovered) return recovered.error();
  }

  auto left = find_damage(fs, directory);
  if (!left) return left.error();
  report.left = *std::move(left);
  return report;
}

}  // namespace sluice::recordlog
