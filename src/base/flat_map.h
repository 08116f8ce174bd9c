#pragma once
#include <boost/unordered/unordered_flat_map.hpp>
#include <functional>

namespace sluice {

// For look-ups by the record: no allocation for each entry, and mostly one cache line. Entries move
// when it grows: keep no pointers into it.
template <class Key, class Value>
using FlatMap = boost::unordered_flat_map<Key, Value, std::hash<Key>>;

}  // namespace sluice
