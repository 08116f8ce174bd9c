#pragma once
// Requests with an Idempotency-Key: what makes two of them the same, and what of one is missing.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ingest/splitter.h"
#include "model/identity.h"
#include "recordlog/recordlog.h"

namespace sluice::ingest {

using Hash = std::array<std::uint8_t, 16>;  // SHA-256, cut

struct KeyScope {
  const Identity& identity;  // a bound token counts as its organisation, another one as its `sub`
  std::string_view path;
  std::string_view query;
};
Hash hash_of_key(const KeyScope& scope, std::string_view key);
// The key of a source's partition, which no request's key equals.
Hash hash_of_source(std::string_view partition);

// What else decides how a body is read goes in with it: `own` is the organisation of records that
// name none.
struct BodyContext {
  Framing framing = Framing::Json;
  std::optional<OrganisationId> own = {};
};
// Some 2 ms a MiB.
Hash hash_of_body(std::string_view body, const BodyContext& context);

// Numbers the groups, as the request's mark wants it, and leaves of them what `stored` lacks.
// False: the pieces do not fit, so the body was read differently the first time (by another
// version).
bool keep_missing(std::vector<recordlog::NewRecords>& groups,
                  std::span<const recordlog::StoredPiece> stored);

// Of one request: all of it is stored.
bool is_whole(std::span<const recordlog::StoredPiece> stored);

}  // namespace sluice::ingest
