// libFuzzer: any bytes as a filter and, behind the first line break, a record. Nothing crashes on
// them; of a valid record the filter says what the slow evaluator says.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>

#include "base/assert.h"
#include "filters/filter.h"
#include "filters/slow_filter.h"
#include "ingest/record_parser.h"

namespace sluice::filters {
namespace {

// What the stream carries, chosen by one byte.
KindSet kinds_of(std::uint8_t byte) {
  if (byte % 3 == 0) return {Kind::Usage};
  if (byte % 3 == 1) return {Kind::Event};
  return {Kind::Usage, Kind::Event};
}

void check(const Filter& filter, const nlohmann::json& clauses, Kind kind,
           std::string_view record) {
  static Evaluator evaluator;
  static ingest::RecordParser parser(1 << 16);
  const std::string exact(record);  // its end is watched
  evaluator.passes(filter, kind, {}, exact);

  const std::string padded = exact + std::string(ingest::RecordParser::kPadding, '"');
  const auto parsed = parser.parse(kind, std::string_view(padded).substr(0, exact.size()));
  if (!parsed) return;
  bool expected = false;
  try {
    expected = slow::passes(clauses, kind, slow::tagged(record));
  } catch (const slow::TooLong&) {
    return;
  }
  SLUICE_ASSERT(evaluator.passes(filter, kind, parsed->columns, exact) == expected);
  SLUICE_ASSERT(expected || !filter.passes_all());
  if (filter.columns_suffice()) {
    SLUICE_ASSERT(evaluator.passes(filter, kind, parsed->columns, "") == expected);
  }
}

}  // namespace
}  // namespace sluice::filters

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  using namespace sluice::filters;
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t end = std::min(input.find('\n'), input.size());
  const auto clauses = nlohmann::json::parse(input.substr(0, end), nullptr, false);
  if (clauses.is_discarded()) return 0;
  const KindSet kinds = kinds_of(data[0]);
  const auto compiled = Filter::compile(clauses, kinds);
  if (const auto* const faults = std::get_if<std::vector<Fault>>(&compiled)) {
    SLUICE_ASSERT(!faults->empty());
    for (const Fault& fault : *faults) {
      SLUICE_ASSERT(fault.clause.starts_with("filters") && !fault.message.empty());
    }
    return 0;
  }
  const auto& filter = *std::get<std::shared_ptr<const Filter>>(compiled);
  const std::string_view record = input.substr(std::min(end + 1, input.size()));
  for (const Kind kind : {Kind::Usage, Kind::Event}) {
    if (kinds.contains(kind)) check(filter, clauses, kind, record);
  }
  return 0;
}
