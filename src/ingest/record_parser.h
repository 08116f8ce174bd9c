#pragma once
// One record: is it valid (docs: Ingest), and what does the log keep beside its bytes.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/ids.h"
#include "model/kind.h"
#include "model/record_columns.h"

namespace sluice::ingest {

// What a record's `organisation` says.
struct NamedOrganisation {
  std::optional<OrganisationId> id;  // none: the record names no organisation
  std::string_view name;             // "" if absent; valid until the parser's next call
  bool unusable = false;             // there, but not an object with an integer id from 0 to 2^63-1
};

struct ParsedRecord {
  // An id of 2^63 and more is kAbsent here; in the bytes it stays.
  RecordColumns columns;
  NamedOrganisation organisation;
};

// Threads: none; one per I/O thread.
class RecordParser {
 public:
  static constexpr std::size_t kDepthMax = 64;  // the record itself is 1
  static constexpr std::size_t kPadding = 64;   // readable bytes behind each text

  // Takes about 14 times `record_bytes_max` of address space; touches what the records need.
  explicit RecordParser(std::size_t record_bytes_max);
  ~RecordParser();

  // `text` has neither blanks around it nor more than record_bytes_max bytes; kPadding bytes
  // behind it are readable. Kind: Usage or Event. InvalidArgument: not a valid record; the message
  // names the property and the remedy.
  Result<ParsedRecord> parse(Kind kind, std::string_view text);
  // Of the last call, when it found an object that is no valid record: the organisation it names.
  std::optional<OrganisationId> organisation_of_last() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::ingest
