#pragma once
// What people are to hear of a stream (docs/operating/alerts.md).

#include <cstdint>
#include <string>

#include "model/alert_id.h"
#include "model/ids.h"

namespace sluice::dispatch {

struct Alert {
  StreamId stream;
  OrganisationId organisation;
  AlertKind kind = AlertKind::Error;
  std::string reason;         // for people; no secrets. "" = none
  std::uint64_t records = 0;  // that were parked, aged out, ...
};

// Where they go. Threads: any. Neither blocks nor fails: what cannot be told now is told later, and
// what comes too often together.
class AlertSink {
 public:
  virtual ~AlertSink() = default;
  virtual void alert(const Alert& alert) = 0;
};

}  // namespace sluice::dispatch
