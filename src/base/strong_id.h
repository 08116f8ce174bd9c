#pragma once
#include <compare>
#include <cstdint>
#include <functional>

namespace sluice {

// An integer that cannot be mixed up with another kind of integer. No arithmetic: a type that
// needs a successor defines one by name.
template <class Int, class Tag>
class StrongId {
 public:
  using value_type = Int;
  constexpr StrongId() = default;
  constexpr explicit StrongId(Int value) : value_(value) {}
  constexpr Int value() const { return value_; }
  friend constexpr auto operator<=>(StrongId, StrongId) = default;

 private:
  Int value_ = 0;
};

}  // namespace sluice

template <class Int, class Tag>
struct std::hash<sluice::StrongId<Int, Tag>> {
  std::size_t operator()(sluice::StrongId<Int, Tag> id) const noexcept {
    return std::hash<Int>{}(id.value());
  }
};
