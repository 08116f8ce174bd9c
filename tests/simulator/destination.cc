#include "simulator/destination.h"

namespace sluice::simulator {
namespace {

constexpr std::size_t kSetAsidePart = 11;  // one record of so many
constexpr std::size_t kIgnoredPart = 4;

}  // namespace

Destination::Destination(World& world) {
  if (world.one_in(3)) refused_endpoint_ = static_cast<std::int64_t>(world.below(6));
  if (world.one_in(4)) set_aside_ = world.below(kSetAsidePart);
  if (world.one_in(4)) ignored_ = world.below(kIgnoredPart);
  flaps_ = world.one_in(4);
}

Destination::Fate Destination::fate(std::size_t number, const Record& record) const {
  if (record.endpoint_id == refused_endpoint_) return Fate::Refused;
  if (number % kSetAsidePart == set_aside_) return Fate::SetAside;
  return number % kIgnoredPart == ignored_ ? Fate::Ignored : Fate::Taken;
}

bool Destination::is_down(World& world) {
  if (flaps_ && world.one_in(6)) down_ = !down_;
  return down_;
}

}  // namespace sluice::simulator
