#pragma once
#include <optional>
#include <variant>

#include "ingest/ingest.h"
#include "ingest/refusal.h"
#include "ingest/splitter.h"
#include "ingest/unpack.h"

namespace sluice::ingest {

// What an ingest request says before its body.
struct HeadOptions {
  Framing framing = Framing::Json;
  Encoding encoding = Encoding::Identity;
  std::optional<OrganisationId> organisation;  // ?organisation_id=
  bool skip_invalid = false;                   // ?on_invalid=skip
  std::string_view idempotency_key;            // in the head; "" = none
};

std::variant<HeadOptions, Refusal> read_head(const http::RequestHead& head,
                                             const Identity& identity, const Settings& settings);

}  // namespace sluice::ingest
