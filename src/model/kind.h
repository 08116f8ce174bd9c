#pragma once
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace sluice {

// Values are written to disk: never change, never reuse. They equal the data_stream_type ids.
enum class Kind : std::uint8_t { Usage = 1, Event = 2, SensorEvent = 4, Message = 5 };

// A set of kinds; a stream of type 3 takes Usage and Event.
class KindSet {
 public:
  constexpr KindSet() = default;
  constexpr KindSet(std::initializer_list<Kind> kinds) {
    for (const Kind kind : kinds) bits_ |= bit(kind);
  }
  constexpr bool contains(Kind kind) const { return (bits_ & bit(kind)) != 0; }
  friend constexpr bool operator==(KindSet, KindSet) = default;

 private:
  static constexpr std::uint32_t bit(Kind kind) { return 1u << static_cast<std::uint32_t>(kind); }
  std::uint32_t bits_ = 0;
};

// The path segment on ingest: "usage", "events", "sensor-events", "messages".
constexpr std::string_view path_name(Kind kind) {
  switch (kind) {
    case Kind::Usage: return "usage";
    case Kind::Event: return "events";
    case Kind::SensorEvent: return "sensor-events";
    case Kind::Message: return "messages";
  }
  return "";
}

constexpr std::optional<Kind> kind_from_path_name(std::string_view name) {
  for (const Kind kind : {Kind::Usage, Kind::Event, Kind::SensorEvent, Kind::Message}) {
    if (path_name(kind) == name) return kind;
  }
  return std::nullopt;
}

}  // namespace sluice
