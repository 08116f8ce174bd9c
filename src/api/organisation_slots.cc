#include "api/organisation_slots.h"

#include <utility>

namespace sluice::api {

OrganisationSlots::OrganisationSlots(std::size_t each_max, std::size_t total_max, Gauge taken)
    : state_(std::make_shared<State>(each_max, total_max, taken)) {}

std::optional<OrganisationSlots::Slot> OrganisationSlots::take(OrganisationId organisation) {
  const MutexLock lock(state_->mutex);
  if (state_->total == state_->total_max) return std::nullopt;
  const auto [entry, added] = state_->by_organisation.try_emplace(organisation, 0);
  if (entry->second == state_->each_max) return std::nullopt;
  ++entry->second;
  ++state_->total;
  state_->taken.add(1);
  return std::optional<Slot>(std::in_place, state_, organisation);
}

OrganisationSlots::Slot::~Slot() {
  if (state_ == nullptr) return;
  const MutexLock lock(state_->mutex);
  const auto entry = state_->by_organisation.find(organisation_);
  if (--entry->second == 0) state_->by_organisation.erase(entry);
  --state_->total;
  state_->taken.add(-1);
}

}  // namespace sluice::api
