#include "ingest/redaction.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace sluice::ingest {
namespace {

namespace ondemand = simdjson::ondemand;

constexpr std::string_view kRedacted = "redacted";

bool names_a_secret(std::string_view key) {
  std::string folded(key);
  std::transform(folded.begin(), folded.end(), folded.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return folded.find("token") != folded.npos || folded.find("jwt") != folded.npos;
}

// A JSON string as far as JWTs are concerned: what cannot be part of one is a blank.
struct Unescaped {
  std::string text;
  std::vector<std::size_t> at;  // where each character, and the end, lies in the raw string
};

Unescaped unescape(std::string_view raw) {
  Unescaped result;
  for (std::size_t i = 0; i < raw.size();) {
    result.at.push_back(i);
    if (raw[i] != '\\') {
      result.text += raw[i];
      i += 1;
    } else if (raw[i + 1] != 'u') {
      result.text += ' ';
      i += 2;
    } else {
      unsigned unit = 0;
      std::from_chars(raw.data() + i + 2, raw.data() + i + 6, unit, 16);
      result.text += unit < 0x80 ? static_cast<char>(unit) : ' ';
      i += 6;
    }
  }
  result.at.push_back(raw.size());
  return result;
}

// The six bits that a character of base64url stands for; -1: not one of its characters.
constexpr int base64url(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '-') return 62;
  return c == '_' ? 63 : -1;
}

std::size_t end_of_part(std::string_view text, std::size_t at) {
  while (at < text.size() && base64url(text[at]) >= 0) ++at;
  return at;
}

// Whether base64url text stands for bytes that begin with '{' and end with '}'.
bool may_be_a_json_object(std::string_view part) {
  if (part.size() < 3 || part.size() % 4 == 1) return false;
  const int first = base64url(part[0]) << 2 | base64url(part[1]) >> 4;
  const int before_last = base64url(part[part.size() - 2]);
  const int last = base64url(part.back());
  int final_byte = before_last << 6 | last;  // four characters hold three bytes
  if (part.size() % 4 == 2) final_byte = before_last << 2 | last >> 4;
  if (part.size() % 4 == 3) final_byte = before_last << 4 | last >> 2;
  return first == '{' && (final_byte & 0xFF) == '}';
}

struct Range {
  std::size_t begin;
  std::size_t end;
};

// The first `header.claims.signature` from `at` on; the signature may be empty (alg "none").
std::optional<Range> find_jwt(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const std::size_t header_end = end_of_part(text, at);
    if (header_end < text.size() && text[header_end] == '.') {
      const std::size_t claims_end = end_of_part(text, header_end + 1);
      const bool has_claims = claims_end > header_end + 1;
      if (has_claims && claims_end < text.size() && text[claims_end] == '.') {
        for (; at < header_end; ++at) {  // something may be glued to its front
          if (may_be_a_json_object(text.substr(at, header_end - at))) {
            return Range{at, end_of_part(text, claims_end + 1)};
          }
        }
      }
    }
    at = header_end + 1;
  }
  return std::nullopt;
}

class Redactor {
 public:
  explicit Redactor(std::string_view record) : record_(record) {}

  std::optional<std::string> run() {
    ondemand::parser parser;
    ondemand::document document;
    ondemand::value root;
    const simdjson::padded_string_view padded(record_.data(), record_.size(),
                                              record_.size() + simdjson::SIMDJSON_PADDING);
    const bool is_valid = parser.iterate(padded).get(document) == simdjson::SUCCESS &&
                          document.get_value().get(root) == simdjson::SUCCESS;
    SLUICE_ASSERT(is_valid);
    visit(root, {});
    if (copied_ == 0) return std::nullopt;
    result_ += record_.substr(copied_);
    return std::move(result_);
  }

 private:
  struct Context {
    bool secret = false;  // the key names a secret
    bool prose = false;   // within `detail` or `description`
  };

  void visit(ondemand::value value, Context context) {
    switch (value.type().value_unsafe()) {
      case ondemand::json_type::object:
        for (auto member : value.get_object()) {
          ondemand::field field = std::move(member).value_unsafe();
          const std::string_view key = field.unescaped_key().value_unsafe();
          const bool prose = context.prose || key == "detail" || key == "description";
          visit(field.value(), {.secret = names_a_secret(key), .prose = prose});
        }
        break;
      case ondemand::json_type::array:
        for (auto element : value.get_array()) visit(element.value_unsafe(), context);
        break;
      case ondemand::json_type::string: {
        const std::string_view token = value.raw_json_token();  // and blanks behind it
        const std::string_view quoted = token.substr(0, token.rfind('"') + 1);
        string(quoted.substr(1, quoted.size() - 2), context);
        break;
      }
      default: break;
    }
  }

  void string(std::string_view raw, Context context) {
    if (context.secret) {
      replace(raw);
    } else if (context.prose) {
      const Unescaped unescaped = unescape(raw);
      std::size_t from = 0;
      while (const auto jwt = find_jwt(unescaped.text, from)) {
        const std::size_t begin = unescaped.at[jwt->begin];
        replace(raw.substr(begin, unescaped.at[jwt->end] - begin));
        from = jwt->end;
      }
    }
  }

  void replace(std::string_view part) {
    const auto begin = static_cast<std::size_t>(part.data() - record_.data());
    result_ += record_.substr(copied_, begin - copied_);
    result_ += kRedacted;
    copied_ = begin + part.size();
  }

  std::string_view record_;
  std::string result_;
  std::size_t copied_ = 0;  // of record_; a replacement never begins at its front
};

}  // namespace

std::optional<std::string> redact(std::string_view record) { return Redactor(record).run(); }

}  // namespace sluice::ingest
