#pragma once
// Result<T>: a value or an Error. Spelled like std::expected, which clang 14 cannot use yet.

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "base/assert.h"

namespace sluice {

enum class ErrorCode : std::uint8_t {
  InvalidArgument,    // the caller's to fix
  NotFound,           //
  Conflict,           //
  ResourceExhausted,  //
  Timeout,            // may pass
  Unavailable,        //
  Cancelled,          //
  Corruption,         // an operator must look
  Io,                 //
};

struct Error {
  ErrorCode code;       // what a program decides on; bounded, so fit for a metric label
  std::string message;  // what a person reads: which object, what failed, what to try. No secrets
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(value()); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  T& value() {
    SLUICE_ASSERT(has_value());
    return *std::get_if<0>(&state_);
  }
  const T& value() const {
    SLUICE_ASSERT(has_value());
    return *std::get_if<0>(&state_);
  }
  Error& error() {
    SLUICE_ASSERT(!has_value());
    return *std::get_if<1>(&state_);
  }
  const Error& error() const {
    SLUICE_ASSERT(!has_value());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const { return error_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  Error& error() {
    SLUICE_ASSERT(!has_value());
    return *std::get_if<1>(&error_);
  }
  const Error& error() const {
    SLUICE_ASSERT(!has_value());
    return *std::get_if<1>(&error_);
  }

 private:
  std::variant<std::monostate, Error> error_;
};

}  // namespace sluice
