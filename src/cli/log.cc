#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/fs.h"
#include "cli/commands.h"
#include "recordlog/inspect.h"
#include "recordlog/repair.h"
#include "server/data_directory.h"

namespace sluice::cli {
namespace {

int fail(const Error& error) {
  std::fprintf(stderr, "sluice log: %s\n", error.message.c_str());
  return 1;
}

std::string time_text(WallTime time) {
  if (time.ms == 0) return "-";
  const std::time_t seconds = static_cast<std::time_t>(time.ms / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

int inspect(const std::string& data_dir) {
  const auto segments =
      recordlog::inspect_log(posix_file_system(), server::log_directory(data_dir));
  if (!segments) return fail(segments.error());
  fmt::print("{:>9} {:>8} {:>6} {:>11} {:>13} {:>8} {:>9} {:>7}  {:20}  {:20}\n", "partition",
             "segment", "state", "bytes", "organisations", "chunks", "records", "marks",
             "first stored", "last stored");
  std::uint64_t bytes = 0;
  std::uint64_t records = 0;
  for (const recordlog::SegmentSummary& segment : *segments) {
    bytes += segment.bytes;
    records += segment.records;
    fmt::print("{:>9} {:>8} {:>6} {:>11} {:>13} {:>8} {:>9} {:>7}  {:20}  {:20}\n",
               segment.partition, segment.sequence, segment.sealed ? "sealed" : "open",
               segment.bytes, segment.organisations, segment.chunks, segment.records, segment.marks,
               time_text(segment.first_stored), time_text(segment.last_stored));
  }
  fmt::print("{} segments, {} bytes, {} records\n", segments->size(), bytes, records);
  return 0;
}

std::string place(const recordlog::Finding& finding) {
  std::string where = fmt::format("{} at byte {}", finding.path, finding.position);
  if (finding.organisation) {
    where += fmt::format(", organisation {}, offsets {} to before {}",
                         finding.organisation->value(), finding.first.value(), finding.end.value());
  }
  return where;
}

int verify(const std::string& data_dir) {
  const auto findings = recordlog::verify_log(posix_file_system(), server::log_directory(data_dir));
  if (!findings) return fail(findings.error());
  std::size_t damaged = 0;
  for (const recordlog::Finding& finding : *findings) {
    const bool damage = finding.severity == recordlog::Finding::Severity::Damage;
    if (damage) ++damaged;
    fmt::print("{}: {}: {}\n", damage ? "damage" : "note", place(finding), finding.message);
  }
  fmt::print("{} places damaged, {} notes\n", damaged, findings->size() - damaged);
  return damaged == 0 ? 0 : 1;
}

int repair(const std::string& data_dir) {
  const std::string log = server::log_directory(data_dir);
  const Result<bool> there = posix_file_system().exists(log);
  if (!there) return fail(there.error());
  if (!*there) return fail({ErrorCode::NotFound, data_dir + " holds no record log"});
  const auto locked = server::DataDirectory::open(data_dir);
  if (!locked) return fail(locked.error());
  const auto report = recordlog::repair_log(posix_file_system(), SystemClock(), log);
  if (!report) return fail(report.error());
  for (const recordlog::Finding& finding : report->found) {
    fmt::print("damage: {}: {}\n", place(finding), finding.message);
  }
  for (const recordlog::Finding& finding : report->left) {
    fmt::print("left: {}: {}\n", place(finding), finding.message);
  }
  fmt::print("{} places were damaged, {} still are\n", report->found.size(), report->left.size());
  if (!report->found.empty()) {
    fmt::print("the damaged bytes lie in {}/quarantine: /readyz names them until you delete them\n",
               log);
  }
  return report->left.empty() ? 0 : 1;
}

void add_command(CLI::App& log, const std::string& name, const std::string& help,
                 int (*run)(const std::string&), int& exit_status) {
  CLI::App* command = log.add_subcommand(name, help);
  auto directory = std::make_shared<std::string>();
  command->add_option("DIR", *directory, "The server's data directory")->required();
  command->callback([directory, run, &exit_status] { exit_status = run(*directory); });
}

}  // namespace

void add_log(CLI::App& app, int& exit_status) {
  CLI::App* log = app.add_subcommand("log", "Looks into a data directory, and repairs it");
  log->require_subcommand(1);
  add_command(*log, "inspect", "Segments, records and times; the server may be running", &inspect,
              exit_status);
  add_command(*log, "verify",
              "Reads everything and checks it; exit status 1 on damage. The server may be running",
              &verify, exit_status);
  add_command(
      *log, "repair",
      "Moves what is damaged to quarantine and says what it was. The server must be stopped",
      &repair, exit_status);
}

}  // namespace sluice::cli
