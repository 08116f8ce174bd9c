#pragma once
// Usage records and events of believable shape, 766 bytes on average, to be sent again and again
// with other ids: the digits of `id` and of `organisation.id` have a fixed width and place.

#include <cstdint>
#include <random>
#include <string>

namespace sluice::bench {

enum class RecordKind : std::uint8_t { Usage, Events };

inline constexpr std::size_t kIdDigits = 15;
inline constexpr std::size_t kOrganisationDigits = 6;
inline constexpr std::uint64_t kFirstOrganisation = 100'001;

struct RecordTemplate {
  std::string json;                 // compact, one object
  std::size_t id_at = 0;            // where the kIdDigits digits begin
  std::size_t organisation_at = 0;  // where the kOrganisationDigits digits begin
};

RecordTemplate make_record(RecordKind kind, std::mt19937_64& random);

// Writes `number`, zero-padded, into `digits` characters at `at`.
void write_digits(char* at, std::size_t digits, std::uint64_t number);

}  // namespace sluice::bench
