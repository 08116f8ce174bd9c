#include "catalogue/catalogue.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/assert.h"

namespace sluice::catalogue {

extern const std::string_view kCatalogueJson;

namespace {

struct Tables {
  nlohmann::json document = nlohmann::json::parse(kCatalogueJson);  // the entries' views point here
  std::vector<Entry> event_types = read("event_types");
  std::vector<Entry> severities = read("event_severities");
  std::vector<Entry> sources = read("event_sources");
  std::vector<Entry> traffic_types = read("traffic_types");
  std::vector<Entry> rat_types = read("rat_types");
  std::vector<Entry> quota_states = read("quota_states");
  std::vector<Entry> quota_actions = read("quota_actions");

 private:
  static std::string_view text(const nlohmann::json& row, const char* key) {
    const auto found = row.find(key);
    return found == row.end() ? std::string_view() : found->get_ref<const std::string&>();
  }

  std::vector<Entry> read(const char* name) const {
    std::vector<Entry> table;
    for (const nlohmann::json& row : document.at(name)) {
      const Entry entry{row.at("id").get<std::int64_t>(), text(row, "name"),
                        text(row, "type_name")};
      SLUICE_ASSERT(table.empty() || table.back().id < entry.id);
      table.push_back(entry);
    }
    return table;
  }
};

const Tables& tables() {
  static const Tables instance;
  return instance;
}

}  // namespace

std::span<const Entry> event_types() { return tables().event_types; }
std::span<const Entry> severities() { return tables().severities; }
std::span<const Entry> sources() { return tables().sources; }
std::span<const Entry> traffic_types() { return tables().traffic_types; }
std::span<const Entry> rat_types() { return tables().rat_types; }
std::span<const Entry> quota_states() { return tables().quota_states; }
std::span<const Entry> quota_actions() { return tables().quota_actions; }

const Entry* find(std::span<const Entry> table, std::int64_t id) {
  const auto found = std::ranges::lower_bound(table, id, {}, &Entry::id);
  return found != table.end() && found->id == id ? &*found : nullptr;
}

std::optional<std::string_view> name_of(std::span<const Entry> table, std::int64_t id) {
  const Entry* entry = find(table, id);
  return entry == nullptr ? std::nullopt : std::optional(entry->name);
}

}  // namespace sluice::catalogue
