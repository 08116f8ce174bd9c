// The simulator: random lives of a record log, its journal and the streams on it, each decided by
// one number (docs/architecture.md). Usage:
//   simulator --runs N [--seed S]       the runs S, S+1, .. (1 if not given)
//   simulator --seconds T [--seed S]    for that long, from a random seed if none is given
//   simulator --seeds FILE              those that the file names; with one of the others before it
// Exits with 1 and names the seed when a promise is broken; the seed is kept, with what it found,
// in the file of --failing (if not given, `failing-seeds` beside the program), which --seeds takes.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/logging.h"
#include "base/metrics.h"
#include "simulator/simulation.h"

namespace {

using sluice::simulator::Simulation;
using sluice::simulator::Violation;

struct Arguments {
  std::uint64_t seed = 1;
  std::uint64_t runs = std::numeric_limits<std::uint64_t>::max();
  std::chrono::seconds seconds{std::numeric_limits<std::int32_t>::max()};
  std::optional<std::vector<std::uint64_t>> kept;  // seeds that are tried first
  std::string failing;

  bool is_kept(std::uint64_t seed_in) const {
    return kept && std::find(kept->begin(), kept->end(), seed_in) != kept->end();
  }
};

std::optional<std::uint64_t> number(std::string_view word) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return value;
}

// A line: the seed, then what it found. Empty ones and those that begin with # are for people.
// Nullopt: it is no such file.
std::optional<std::vector<std::uint64_t>> read_seeds(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::vector<std::uint64_t> seeds;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.front() == '#') continue;
    const auto seed = number(line.substr(0, line.find(' ')));
    if (!seed) return std::nullopt;
    seeds.push_back(*seed);
  }
  return seeds;
}

// Nullopt: that is not how it is used, or it is no file of seeds.
std::optional<Arguments> parse(int count, char** words) {
  Arguments arguments;
  arguments.failing = std::filesystem::path(words[0]).replace_filename("failing-seeds");
  bool bounded = false;
  bool seeded = false;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view name = words[i];
    if (name == "--failing") {
      arguments.failing = words[i + 1];
      continue;
    }
    if (name == "--seeds") {
      arguments.kept = read_seeds(words[i + 1]);
      if (!arguments.kept) return std::nullopt;
      continue;
    }
    const auto value = number(words[i + 1]);
    if (!value) return std::nullopt;
    if (name == "--seed") {
      arguments.seed = *value;
      seeded = true;
    } else if (name == "--runs") {
      arguments.runs = *value;
      bounded = true;
    } else if (name == "--seconds") {
      arguments.seconds = std::chrono::seconds(*value);
      bounded = true;
      if (!seeded) arguments.seed = std::random_device{}();
    } else {
      return std::nullopt;
    }
  }
  if (count % 2 == 0 || (!bounded && !arguments.kept)) return std::nullopt;
  if (!bounded) arguments.runs = 0;
  return arguments;
}

void keep(std::uint64_t seed, std::string_view found, const std::string& path) {
  std::ofstream file(path, std::ios::app);
  file << seed << ' ' << found << '\n';
  if (!file.flush()) fmt::print(stderr, "the seed cannot be kept in {}\n", path);
}

void report(std::uint64_t seed, std::string_view found, const Arguments& arguments) {
  fmt::print("simulator --runs 1 --seed {}: {}\n", seed, found);
  std::fflush(stdout);
  if (!arguments.is_kept(seed)) keep(seed, found, arguments.failing);
}

// For a handler of SIGABRT, which SLUICE_ASSERT raises in the middle of a run: it is told nothing.
std::uint64_t running_seed;
const Arguments* running_arguments;

// Whether all promises were kept.
bool run(std::uint64_t seed, sluice::Metrics& metrics, const Arguments& arguments) {
  running_seed = seed;
  try {
    Simulation(seed, metrics).run();
    return true;
  } catch (const Violation& violation) {
    report(seed, violation.what(), arguments);
    return false;
  }
}

}  // namespace

int main(int count, char** words) {
  const auto arguments = parse(count, words);
  if (!arguments) {
    fmt::print(stderr,
               "usage: simulator (--runs N | --seconds T | --seeds FILE) [--seed S] "
               "[--failing FILE]\n");
    return 2;
  }
  running_arguments = &*arguments;
  std::signal(SIGABRT, [](int) { report(running_seed, "it aborted", *running_arguments); });
  // Its disks fail all the time.
  if (std::getenv("SLUICE_SIMULATOR_LOG") == nullptr) {
    sluice::logging::set_level(sluice::logging::Level::Off);
  }
  sluice::Metrics metrics;
  if (arguments->kept) {
    for (const std::uint64_t seed : *arguments->kept) {
      if (!run(seed, metrics, *arguments)) return 1;
    }
    fmt::print("{} kept seeds\n", arguments->kept->size());
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto until = begin + arguments->seconds;
  std::uint64_t done = 0;
  for (; done < arguments->runs && std::chrono::steady_clock::now() < until; ++done) {
    if (!run(arguments->seed + done, metrics, *arguments)) return 1;
  }
  if (done == 0) return 0;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  fmt::print("{} runs from seed {}, {:.0f} a second\n", done, arguments->seed,
             static_cast<double>(done) / took.count());
  return 0;
}
