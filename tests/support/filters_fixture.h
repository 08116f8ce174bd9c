#pragma once
// For the tests: filters from text, records with the columns that ingest gives them.

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "filters/filter.h"
#include "ingest/record_parser.h"

namespace sluice::filters {

inline constexpr KindSet kUsageOnly = {Kind::Usage};
inline constexpr KindSet kEventsOnly = {Kind::Event};
inline constexpr KindSet kBoth = {Kind::Usage, Kind::Event};

inline std::vector<Fault> faults(std::string_view clauses, KindSet kinds = kBoth) {
  const auto compiled = Filter::compile(nlohmann::json::parse(clauses), kinds);
  const auto* const found = std::get_if<std::vector<Fault>>(&compiled);
  return found == nullptr ? std::vector<Fault>{} : *found;
}

inline std::shared_ptr<const Filter> compile(const nlohmann::json& clauses, KindSet kinds) {
  const auto compiled = Filter::compile(clauses, kinds);
  if (const auto* const found = std::get_if<std::vector<Fault>>(&compiled)) {
    ADD_FAILURE() << clauses << ": " << found->at(0).clause << ": " << found->at(0).message;
    return nullptr;
  }
  return std::get<std::shared_ptr<const Filter>>(compiled);
}

// `record` as ingest sees it; a failed test when it is not valid.
inline RecordColumns columns_of(Kind kind, std::string_view record) {
  static ingest::RecordParser parser(1 << 20);
  const std::string padded = std::string(record) + std::string(ingest::RecordParser::kPadding, ' ');
  const auto parsed = parser.parse(kind, std::string_view(padded).substr(0, record.size()));
  EXPECT_TRUE(parsed) << record << ": " << (parsed ? "" : parsed.error().message);
  return parsed ? parsed->columns : RecordColumns{};
}

}  // namespace sluice::filters
