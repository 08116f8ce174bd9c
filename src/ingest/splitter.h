#pragma once
// A request's body -> its records' own bytes.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::ingest {

enum class Framing : std::uint8_t {
  Json,   // one array of records, or records one behind the other
  Lines,  // one record a line; the last line needs no line break
};

struct RawRecord {
  std::string_view bytes;  // without blanks around it; not yet known to be an object
  std::uint32_t line = 0;  // Lines: from 1, counting blank lines too; Json: 0
};

// Walks over a body once. A byte-order mark in front, CRLF and blank lines are skipped.
//
// What is whose fault: with Lines each line stands for itself, so a bad one is a bad record. With
// Json everything that leaves the end of a record, or of the array, in doubt is the body's fault:
// another value than array or object, an unclosed array or string, a missing or superfluous comma,
// something behind the array. An array element that has an end but is no object is a bad record.
//
// Threads: none.
class Splitter {
 public:
  // `body` outlives the splitter and what it returns; 63 bytes behind it are readable.
  Splitter(std::string_view body, Framing framing);

  // Nullopt: no further record, or a fault of the body.
  std::optional<RawRecord> next();
  // Empty: none so far. Else a sentence that says what is wrong and at which byte.
  const std::string& fault() const { return fault_; }

 private:
  std::optional<RawRecord> next_line();
  std::optional<RawRecord> next_value();
  std::optional<RawRecord> take_value();
  bool find_next_element();
  void skip_blanks();
  std::optional<RawRecord> fail(std::string_view what);

  std::string_view body_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 0;
  std::uint32_t records_ = 0;
  Framing framing_;
  bool in_array_ = false;
  std::string fault_;
};

}  // namespace sluice::ingest
