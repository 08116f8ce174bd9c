#include "ingest/splitter.h"

#include <fmt/format.h>

#include "ingest/delimiter.h"

namespace sluice::ingest {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

constexpr bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

std::string_view without_blanks_around(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// The end of the string whose opening quote is at `begin`; npos when it has none.
std::size_t end_of_string(std::string_view text, std::size_t begin) {
  for (std::size_t at = begin + 1; at < text.size(); ++at) {
    if (text[at] == '"') return at + 1;
    if (text[at] == '\\') ++at;
  }
  return text.npos;
}

}  // namespace

Splitter::Splitter(std::string_view body, Framing framing) : body_(body), framing_(framing) {
  if (body_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
  if (framing_ == Framing::Lines) return;
  skip_blanks();
  if (at_ < body_.size() && body_[at_] == '[') {
    in_array_ = true;
    ++at_;
  }
}

std::optional<RawRecord> Splitter::next() {
  if (!fault_.empty()) return std::nullopt;
  return framing_ == Framing::Lines ? next_line() : next_value();
}

std::optional<RawRecord> Splitter::next_line() {
  while (at_ < body_.size()) {
    const std::size_t end = std::min(body_.find('\n', at_), body_.size());
    const std::string_view bytes = without_blanks_around(body_.substr(at_, end - at_));
    at_ = end + 1;
    ++line_;
    if (!bytes.empty()) return RawRecord{bytes, line_};
  }
  return std::nullopt;
}

std::optional<RawRecord> Splitter::next_value() {
  skip_blanks();
  if (in_array_) {
    if (!find_next_element()) return std::nullopt;
  } else {
    if (at_ == body_.size()) return std::nullopt;
    if (body_[at_] != '{') {
      return fail(records_ == 0 ? "neither a JSON object nor an array begins here"
                                : "behind a record, another one must begin here or the body end");
    }
  }
  ++records_;
  return take_value();
}

// Moves behind the comma, if one is due. False: the array has ended, or a fault.
bool Splitter::find_next_element() {
  if (at_ < body_.size() && body_[at_] == ']') {
    ++at_;
    skip_blanks();
    if (at_ < body_.size()) fail("the array has ended, but something follows it");
    at_ = body_.size();
    in_array_ = false;
    return false;
  }
  if (records_ > 0 && at_ < body_.size()) {
    if (body_[at_] != ',') {
      fail("behind an array's element, a comma or the closing bracket is missing");
      return false;
    }
    ++at_;
    skip_blanks();
  }
  if (at_ == body_.size()) {
    fail("the body ends within an array: its closing bracket is missing");
    return false;
  }
  return true;
}

std::optional<RawRecord> Splitter::take_value() {
  const std::size_t begin = at_;
  std::size_t end = begin;
  if (body_[begin] == '{' || body_[begin] == '[') {
    end = end_of_value(body_, begin);
  } else if (body_[begin] == '"') {
    end = end_of_string(body_, begin);
  } else {
    constexpr std::string_view kBehindScalar = " \t\r\n,[]{}:\"";
    end = std::min(body_.find_first_of(kBehindScalar, begin), body_.size());
  }
  if (end == begin) return fail("a record is missing here");
  if (end == body_.npos) return fail("the record that begins here has no end");
  at_ = end;
  return RawRecord{body_.substr(begin, end - begin)};
}

void Splitter::skip_blanks() {
  while (at_ < body_.size() && is_blank(body_[at_])) ++at_;
}

std::optional<RawRecord> Splitter::fail(std::string_view what) {
  fault_ = fmt::format("The body cannot be read, at byte {}: {}.", at_, what);
  return std::nullopt;
}

}  // namespace sluice::ingest
