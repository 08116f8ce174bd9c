#pragma once
// The platform's id tables (catalogue.json): event types, severities, sources, traffic types, RAT
// types, quotas. One place for look-up calls, simulator, filters and formats. Open: an id that is
// not in it is valid and passes through everywhere.
// Threads: any. Read at first use; the views live as long as the program.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sluice::catalogue {

struct Entry {
  std::int64_t id;
  std::string_view name;       // what people read
  std::string_view type_name;  // snake_case, for formats: never changes. Event types only
};

// In the order of their ids.
std::span<const Entry> event_types();
std::span<const Entry> severities();
std::span<const Entry> sources();
std::span<const Entry> traffic_types();
std::span<const Entry> rat_types();
std::span<const Entry> quota_states();
std::span<const Entry> quota_actions();

// Null: an unknown id.
const Entry* find(std::span<const Entry> table, std::int64_t id);

// The name in `table`; nullopt: an unknown id.
std::optional<std::string_view> name_of(std::span<const Entry> table, std::int64_t id);

}  // namespace sluice::catalogue
