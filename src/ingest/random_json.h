#pragma once
// For the tests: random JSON with every feature of RFC 8259 that parsers get wrong.

#include <array>
#include <random>
#include <string>
#include <string_view>

namespace sluice::ingest {

class RandomJson {
 public:
  explicit RandomJson(std::uint64_t seed, std::size_t nesting_max = 50)
      : random_(seed), nesting_max_(nesting_max) {}

  std::size_t below(std::size_t bound) { return random_() % bound; }
  template <class Choices>
  auto one_of(const Choices& choices) {
    return choices[below(std::size(choices))];
  }

  std::string blanks() {
    std::string text;
    while (below(4) == 0) text += one_of(std::string_view(" \t\r\n"));
    return text;
  }

  std::string string() {
    static constexpr std::array<std::string_view, 16> kPieces = {"a",
                                                                 "token",
                                                                 "}],[{",
                                                                 "\\\"",
                                                                 "\\\\",
                                                                 "\\/",
                                                                 "\\u0000",
                                                                 "\\u20aC",
                                                                 "\\n\\t",
                                                                 "\xC3\xA9",
                                                                 "\xE2\x82\xAC",
                                                                 "\xF0\x9F\x98\x80",
                                                                 "\\ud83d\\ude00",
                                                                 " \x7F",
                                                                 "1e400",
                                                                 ":,"};
    std::string text = "\"";
    while (below(3) != 0) text += one_of(kPieces);
    if (below(50) == 0) text += std::string(below(300), 'x');
    return text + "\"";
  }

  std::string number() {
    std::string text = below(2) == 0 ? "-" : "";
    text += below(3) == 0 ? "0" : digits("123456789");
    if (below(3) == 0) text += "." + digits("0123456789");
    if (below(3) == 0) {
      text += one_of(std::array<std::string_view, 6>{"e", "E", "e+", "e-", "E+", "E-"});
      text += digits("0123456789");
    }
    return text;
  }

  std::string value(int depth = 0) {
    if (below(200) == 0) return nested(below(nesting_max_));
    switch (below(depth > 5 ? 5 : 8)) {
      case 0: return "null";
      case 1: return below(2) == 0 ? "true" : "false";
      case 2: return number();
      case 3:
      case 4: return string();
      case 5: return array(depth + 1);
      default: return object("", depth + 1);
    }
  }

  std::string array(int depth) {
    std::string text = "[" + blanks();
    for (std::size_t left = below(4); left > 0; --left) {
      text += value(depth) + blanks() + (left > 1 ? "," : "") + blanks();
    }
    return text + "]";
  }

  // `first_members` come first, if any.
  std::string object(std::string_view first_members, int depth = 0) {
    std::string text = "{" + blanks() + std::string(first_members);
    bool comma = !first_members.empty();
    for (std::size_t left = below(4); left > 0; --left) {
      if (comma) text += blanks() + "," + blanks();
      text += string() + blanks() + ":" + blanks() + value(depth);
      comma = true;
    }
    return text + blanks() + "}";
  }

  // Usually no longer valid.
  std::string mutated(std::string text) {
    static constexpr std::array<std::string_view, 28> kBites = {"\"",
                                                                "\\",
                                                                "{",
                                                                "}",
                                                                "[",
                                                                "]",
                                                                ",",
                                                                ":",
                                                                "0",
                                                                "-",
                                                                ".",
                                                                "e",
                                                                "1e400",
                                                                "+",
                                                                " ",
                                                                "\n",
                                                                "\x01",
                                                                "\xFF",
                                                                "\xC3",
                                                                "\xED\xA0\x80",
                                                                "\\u",
                                                                "\\ud800",
                                                                "\\udc00",
                                                                "null",
                                                                "x",
                                                                "\xE2\x82",
                                                                "99999999999999999999",
                                                                "\xF4\x90\x80\x80"};
    for (std::size_t times = 1 + below(3); times > 0 && !text.empty(); --times) {
      const std::size_t at = below(text.size());
      switch (below(4)) {
        case 0: text.erase(at, 1 + below(3)); break;
        case 1: text.insert(at, one_of(kBites)); break;
        case 2: text.replace(at, 1, one_of(kBites)); break;
        default: text.insert(at, text.substr(below(text.size()), below(10))); break;
      }
    }
    return text;
  }

 private:
  std::string digits(std::string_view first) {
    std::string text(1, one_of(first));
    const std::size_t more = below(20) == 0 ? below(400) : below(4) == 0 ? below(25) : below(4);
    while (text.size() <= more) text += one_of(std::string_view("0123456789"));
    return text;
  }

  std::string nested(std::size_t levels) {
    std::string text;
    for (std::size_t i = 0; i < levels; ++i) text += "[";
    return text + (levels > 0 && below(2) == 0 ? "" : "1") + std::string(levels, ']');
  }

  std::mt19937_64 random_;
  std::size_t nesting_max_;
};

}  // namespace sluice::ingest
