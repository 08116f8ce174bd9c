#pragma once
// A whole body -> what is to be stored for whom, or why nothing of it is.

#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "ingest/record_parser.h"
#include "ingest/refusal.h"
#include "ingest/splitter.h"
#include "model/ids.h"
#include "model/kind.h"
#include "recordlog/recordlog.h"

namespace sluice::ingest {

struct ReadOptions {
  Kind kind = Kind::Event;
  Framing framing = Framing::Json;
  std::optional<OrganisationId> requested = {};  // the request's: stands above the records' own
  std::optional<OrganisationId> token = {};      // the token's own, for records that name none
  bool token_bound = true;                       // records that name another are refused
  std::uint64_t record_bytes_max = 1 << 20;
  bool redact_tokens = true;
  bool skip_invalid = false;  // invalid records do not spoil the valid ones
  bool skip_large = false;    // with skip_invalid: nor do those that are too large
};

// An invalid record that was skipped.
struct RejectedRecord {
  RecordFault fault;
  std::optional<OrganisationId> organisation;  // as far as it is known
  std::string_view bytes;                      // in the body
};

// An organisation that records belong to.
struct SeenOrganisation {
  OrganisationId id;
  std::uint32_t name_begin = 0;  // in Batch::names
  std::uint32_t name_bytes = 0;  // 0: no record says
};

struct Batch {
  std::vector<recordlog::NewRecords> groups;  // their bytes lie in the body or in `rewritten`
  // What the records say of the groups' organisations, in the order of the groups.
  std::vector<SeenOrganisation> organisations;
  std::string names;
  std::list<std::string> rewritten;  // mostly none: a deque would allocate even then
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  std::vector<RejectedRecord> rejected;  // with skip_invalid only; in the order of the body

  std::string_view name_of(const SeenOrganisation& organisation) const {
    return std::string_view(names).substr(organisation.name_begin, organisation.name_bytes);
  }
};

inline constexpr std::size_t kFaultsListedMax = 100;
// So many bad records, and the rest of the body is not looked at: counting on would keep an I/O
// thread busy for whoever sends rubbish.
inline constexpr std::size_t kFaultsCountedMax = 10'000;
// With skip_invalid: each is kept, with a sentence that is longer than many a bad record.
inline constexpr std::size_t kRejectedMax = 100'000;
// A longer name is not registered: it is no name.
inline constexpr std::size_t kOrganisationNameBytesMax = 256;

// Validates every record. RecordTooLarge (without skip_large) and Forbidden (a record names an
// organisation that is not the token's) end it at once, also with skip_invalid; a fault of the body
// outweighs faults of records.
//
// The byte between two records of one group that are exactly one byte apart becomes a comma, so
// that the log can write them as they lie; only when all of the body has been accepted.
//
// RecordParser::kPadding bytes behind `body` are readable.
std::variant<Batch, Refusal> read_body(std::span<char> body, const ReadOptions& options,
                                       RecordParser& parser);

}  // namespace sluice::ingest
