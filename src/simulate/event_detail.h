#pragma once
// What a platform says about each event type beyond the envelope: its source and severity, whom it
// concerns, and the `detail` object.

#include <cstdint>

#include "simulate/json_text.h"
#include "simulate/record_writer.h"
#include "simulate/world.h"

namespace sluice::simulate {

enum class Subject : std::uint8_t { Endpoint, Organisation, User };

struct EventProfile {
  Severity severity = Severity::Info;
  Source source = Source::Network;
  bool alert = false;
  Subject subject = Subject::Endpoint;
};

// Unknown types: the default, an endpoint's quiet network event.
EventProfile event_profile(std::int64_t type_id);

struct SessionId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
};
void write_session_id(JsonText& out, SessionId id);  // a random UUID, not quoted

struct PdpSession {
  SessionId id;
  std::int64_t created_ms;
  std::uint64_t rx_bytes;
  std::uint64_t tx_bytes;
};

struct DetailContext {
  Dialect dialect;
  const Organisation& organisation;
  const Subscriber& subscriber;
  const Network& network;
  const PdpSession& session;  // of types 3, 4 and 5
  std::int64_t time_ms;
};

// Appends the `detail` of an event of that type; nothing where the type has none.
void write_detail(JsonText& out, std::int64_t type_id, const DetailContext& context);

}  // namespace sluice::simulate
