// The simulator: random lives of a record log, its journal and the streams on it, each decided by
// one number (docs/architecture.md). Usage:
//   simulator --runs N [--seed S]       the runs S, S+1, .. (1 if not given)
//   simulator --seconds T [--seed S]    for that long, from a random seed if none is given
// Exits with 1 and names the seed when a promise is broken.

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <string_view>

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
};

bool parse(int count, char** words, Arguments& arguments) {
  bool bounded = false;
  bool seeded = false;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view name = words[i];
    const std::uint64_t value = std::strtoull(words[i + 1], nullptr, 10);
    if (name == "--seed") {
      arguments.seed = value;
      seeded = true;
    } else if (name == "--runs") {
      arguments.runs = value;
      bounded = true;
    } else if (name == "--seconds") {
      arguments.seconds = std::chrono::seconds(value);
      bounded = true;
      if (!seeded) arguments.seed = std::random_device{}();
    } else {
      return false;
    }
  }
  return bounded && count % 2 == 1;
}

}  // namespace

int main(int count, char** words) {
  Arguments arguments;
  if (!parse(count, words, arguments)) {
    fmt::print(stderr, "usage: simulator (--runs N | --seconds T) [--seed S]\n");
    return 2;
  }
  // Its disks fail all the time.
  if (std::getenv("SLUICE_SIMULATOR_LOG") == nullptr) {
    sluice::logging::set_level(sluice::logging::Level::Off);
  }
  sluice::Metrics metrics;
  const auto begin = std::chrono::steady_clock::now();
  const auto until = begin + arguments.seconds;
  std::uint64_t done = 0;
  for (; done < arguments.runs && std::chrono::steady_clock::now() < until; ++done) {
    const std::uint64_t seed = arguments.seed + done;
    try {
      Simulation(seed, metrics).run();
    } catch (const Violation& violation) {
      fmt::print("simulator --runs 1 --seed {}: {}\n", seed, violation.what());
      return 1;
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  fmt::print("{} runs from seed {}, {:.0f} a second\n", done, arguments.seed,
             static_cast<double>(done) / took.count());
  return 0;
}
