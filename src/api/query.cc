#include "api/query.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::api {
namespace {

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

std::optional<std::string> decode(std::string_view encoded) {
  std::string text;
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    if (encoded[i] != '%') {
      text += encoded[i] == '+' ? ' ' : encoded[i];
      continue;
    }
    if (encoded.size() - i < 3) return std::nullopt;
    const int high = hex_value(encoded[i + 1]);
    const int low = hex_value(encoded[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    text += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return text;
}

Error fault(std::string message) { return {ErrorCode::InvalidArgument, std::move(message)}; }

}  // namespace

Result<Query> Query::parse(std::string_view raw, std::span<const std::string_view> known) {
  Query query;
  while (!raw.empty()) {
    const std::size_t end = std::min(raw.find('&'), raw.size());
    const std::string_view pair = raw.substr(0, end);
    raw.remove_prefix(std::min(end + 1, raw.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const auto name = decode(pair.substr(0, equals));
    const auto value = decode(pair.substr(std::min(equals + 1, pair.size())));
    if (!name || !value) return fault("query: a % escape is broken");
    if (std::ranges::find(known, *name) == known.end()) {
      return fault(fmt::format("query: {:.100} is not a parameter of this call", *name));
    }
    if (query.find(*name)) return fault(fmt::format("query: {} is given twice", *name));
    query.parameters_.emplace_back(*name, *value);
  }
  return query;
}

std::optional<std::string_view> Query::find(std::string_view name) const {
  for (const auto& [key, value] : parameters_) {
    if (key == name) return value;
  }
  return std::nullopt;
}

Result<bool> Query::boolean(std::string_view name, bool otherwise) const {
  const std::optional<std::string_view> value = find(name);
  if (!value) return otherwise;
  if (*value == "true" || *value == "1") return true;
  if (*value == "false" || *value == "0") return false;
  return fault(fmt::format("query: {} must be true or false", name));
}

}  // namespace sluice::api
