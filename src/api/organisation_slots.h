#pragma once
// How much of something costly an organisation may have under way at once.

#include <cstddef>
#include <map>
#include <memory>
#include <optional>

#include "base/metrics.h"
#include "base/mutex.h"
#include "model/ids.h"

namespace sluice::api {

// Threads: any.
class OrganisationSlots {
  struct State;

 public:
  // Given back on destruction; may outlive the OrganisationSlots.
  class Slot {
   public:
    Slot(std::shared_ptr<State> state, OrganisationId organisation)
        : state_(std::move(state)), organisation_(organisation) {}
    Slot(Slot&&) noexcept = default;
    Slot& operator=(Slot&&) = delete;
    ~Slot();

   private:
    std::shared_ptr<State> state_;
    OrganisationId organisation_;
  };

  // `taken` shows how many are under way; its Metrics outlive every Slot.
  OrganisationSlots(std::size_t each_max, std::size_t total_max, Gauge taken);

  // Nullopt: the organisation, or all together, have as many as they may.
  std::optional<Slot> take(OrganisationId organisation);

 private:
  struct State {
    State(std::size_t each, std::size_t all, Gauge gauge)
        : each_max(each), total_max(all), taken(gauge) {}
    const std::size_t each_max;
    const std::size_t total_max;
    Mutex mutex;
    Gauge taken SLUICE_GUARDED_BY(mutex);
    std::size_t total SLUICE_GUARDED_BY(mutex) = 0;
    std::map<OrganisationId, std::size_t> by_organisation SLUICE_GUARDED_BY(mutex);
  };
  std::shared_ptr<State> state_;
};

}  // namespace sluice::api
