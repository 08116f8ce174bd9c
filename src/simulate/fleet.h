#pragma once
// A believable fleet of SIMs as a stream of records. Each endpoint attaches, opens a session,
// uses data (an interim record every 45 s once 100 KB are used), closes it (a final record, and a
// deleted context whose volume is the sum of both), sends an SMS now and then, runs out of its
// quota, is purged by its network, comes back on another one.
//
// The same options give the same records, byte for byte, on any machine: no wall clock, no
// floating point, no distribution of the standard library. Threads: none.

#include <cstdint>
#include <memory>
#include <string_view>

#include "model/ids.h"
#include "model/kind.h"
#include "simulate/record_writer.h"

namespace sluice::simulate {

struct FleetOptions {
  std::uint64_t seed = 1;
  std::uint32_t organisations = 1;  // at least 1; times endpoints at most kSubscribersMax
  std::uint32_t endpoints = 100;    // of each organisation, at least 1
  std::uint64_t first_organisation_id = 1;
  std::int64_t start_ms = 1'767'225'600'000;  // simulated time: 2026-01-01
  Dialect dialect = Dialect::Emnify;
  bool all_types = false;  // begin with one event of each catalogued type
  // Squeezes or stretches the waits in an endpoint's life, so that about so many records come in
  // a second of simulated time. 0: as they are in life, about kRecordsPerEndpointHour.
  std::uint32_t records_per_second = 0;
};

inline constexpr std::uint32_t kRecordsPerEndpointHour = 31;

struct SimulatedRecord {
  Kind kind;  // Usage or Event
  OrganisationId organisation;
  std::int64_t time_ms;   // of an event; the end of what a usage record counts
  std::string_view json;  // compact; valid until the next call
};

class Fleet {
 public:
  explicit Fleet(const FleetOptions& options);
  ~Fleet();
  Fleet(Fleet&&) noexcept;

  // In the order of simulated time, without end.
  SimulatedRecord next();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::simulate
