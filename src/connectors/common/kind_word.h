#pragma once
#include <string_view>

#include "model/kind.h"

namespace sluice::connectors {

// The filters' words for the kinds.
constexpr std::string_view kind_word(Kind kind) {
  switch (kind) {
    case Kind::Usage: return "usage";
    case Kind::Event: return "event";
    case Kind::SensorEvent: return "sensor-event";
    case Kind::Message: return "message";
  }
  return "";
}

}  // namespace sluice::connectors
