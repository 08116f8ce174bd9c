#pragma once
// SLUICE_ASSERT: a promise between our own functions, checked in release builds too. Never for
// anything that input, the disk or the network can cause.

namespace sluice {

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace sluice

#define SLUICE_ASSERT(expression)          \
  (static_cast<bool>(expression) ? void(0) \
                                 : ::sluice::assertion_failed(#expression, __FILE__, __LINE__))
