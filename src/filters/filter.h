#pragma once
// A stream's filters (streams.md, Filters): checked, compiled once, evaluated on the columns that
// the log keeps and, only where these do not answer, on the record's bytes.

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/kind.h"
#include "model/record_columns.h"

namespace sluice::filters {

struct Fault {
  std::string clause;   // "filters[1].or[0].field"
  std::string message;  // a sentence without the clause's name
};

// Immutable; shared between threads.
class Filter {
 public:
  static constexpr std::size_t kDepthMax = 8;
  static constexpr std::size_t kClausesMax = 64;

  // `clauses` is the list as the API takes it; `kinds` what the stream carries. All faults, in
  // the order of the list.
  static std::variant<std::shared_ptr<const Filter>, std::vector<Fault>> compile(
      const nlohmann::json& clauses, KindSet kinds);

  virtual ~Filter() = default;
  // Passes everything: there is no need to evaluate it.
  virtual bool passes_all() const = 0;
  // No clause looks at a record's bytes.
  virtual bool columns_suffice() const = 0;
};

// Evaluates filters. Threads: none; one per I/O thread (it owns a JSON parser's memory).
class Evaluator {
 public:
  Evaluator();
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  // `record` is a valid record's bytes; nothing behind them is touched.
  bool passes(const Filter& filter, Kind kind, const RecordColumns& columns,
              std::string_view record);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The fields of GET /api/v2/data_stream/filter_field_type. Ids are never reused.
struct Field {
  std::uint32_t id;
  std::string_view name;
};
std::span<const Field> fields();

}  // namespace sluice::filters
