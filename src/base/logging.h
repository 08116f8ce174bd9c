#pragma once
// Diagnostics: one JSON object a line on standard error. Never secrets, never record bytes.
// Threads: any. spdlog lives in logging.cc alone.

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace sluice::logging {

enum class Level : std::uint8_t { Debug, Info, Warn, Error, Off };

struct Field {
  Field(std::string_view key_in, std::string_view text) : key(key_in), value(text) {}
  Field(std::string_view key_in, const char* text) : key(key_in), value(text) {}
  Field(std::string_view key_in, const std::string& text) : key(key_in), value(text) {}
  Field(std::string_view key_in, std::int64_t number)
      : key(key_in), value(std::to_string(number)), is_number(true) {}
  Field(std::string_view key_in, std::uint64_t number)
      : key(key_in), value(std::to_string(number)), is_number(true) {}
  Field(std::string_view key_in, int number) : Field(key_in, std::int64_t{number}) {}

  std::string_view key;
  std::string value;
  bool is_number = false;
};

void set_level(Level level);

// `event` is a constant sentence; what varies goes into fields, so that lines can be counted.
void write(Level level, std::string_view event, std::initializer_list<Field> fields = {});

inline void debug(std::string_view event, std::initializer_list<Field> fields = {}) {
  write(Level::Debug, event, fields);
}
inline void info(std::string_view event, std::initializer_list<Field> fields = {}) {
  write(Level::Info, event, fields);
}
inline void warn(std::string_view event, std::initializer_list<Field> fields = {}) {
  write(Level::Warn, event, fields);
}
inline void error(std::string_view event, std::initializer_list<Field> fields = {}) {
  write(Level::Error, event, fields);
}

}  // namespace sluice::logging
