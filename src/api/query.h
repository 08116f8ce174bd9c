#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace sluice::api {

// A request's query, percent-decoded.
class Query {
 public:
  // InvalidArgument: a parameter not in `known`, one given twice, or a broken escape.
  static Result<Query> parse(std::string_view raw, std::span<const std::string_view> known);

  std::optional<std::string_view> find(std::string_view name) const;
  // Absent: `otherwise`. InvalidArgument: neither true, false, 1 nor 0.
  Result<bool> boolean(std::string_view name, bool otherwise) const;

 private:
  std::vector<std::pair<std::string, std::string>> parameters_;
};

}  // namespace sluice::api
