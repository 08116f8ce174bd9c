#pragma once
#include <algorithm>
#include <string>
#include <string_view>

namespace sluice::connectors {

// Header names are compared without regard to ASCII case.
inline bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&lower](char x, char y) { return lower(x) == lower(y); });
}

// Without blanks and tabs around it.
inline std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Percent-encoded: all but RFC 3986's unreserved characters, and slashes if they are kept. Fit for
// a part of a URL and for a form.
std::string percent_encoded(std::string_view text, bool keep_slashes = false);

// As a JSON string, with its quotes. What is not UTF-8 is replaced.
std::string in_json(std::string_view text);

bool is_visible_ascii(std::string_view text);  // and no blank

}  // namespace sluice::connectors
