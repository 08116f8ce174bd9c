#include "filters/filter.h"

#include <nlohmann/json.hpp>

namespace sluice::filters {
namespace {

class PassAll final : public Filter {
 public:
  bool passes_all() const override { return true; }
  bool columns_suffice() const override { return true; }
};

}  // namespace

std::variant<std::shared_ptr<const Filter>, std::vector<Fault>> Filter::compile(
    const nlohmann::json& clauses, KindSet) {
  if (clauses.is_array() && clauses.empty()) return std::make_shared<PassAll>();
  return std::vector<Fault>{{"filters", "must be an empty list: filters are not available yet"}};
}

struct Evaluator::Impl {};
Evaluator::Evaluator() : impl_(std::make_unique<Impl>()) {}
Evaluator::~Evaluator() = default;
bool Evaluator::passes(const Filter&, Kind, const RecordColumns&, std::string_view) { return true; }

std::span<const Field> fields() { return {}; }

}  // namespace sluice::filters
