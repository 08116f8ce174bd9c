#include "api/json_text.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

namespace sluice::api {
namespace {

using nlohmann::json;

// Watches a parse for what nlohmann lets pass.
class Watch {
 public:
  explicit Watch(DuplicateKeys duplicate_keys) : duplicate_keys_(duplicate_keys) {}

  // False: what begins here need not be kept.
  bool operator()(json::parse_event_t event, const json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start: keys_.emplace_back(); [[fallthrough]];
      case json::parse_event_t::array_start:
        too_deep_ = too_deep_ || ++depth_ > kJsonDepthMax;
        break;
      case json::parse_event_t::object_end: keys_.pop_back(); [[fallthrough]];
      case json::parse_event_t::array_end: --depth_; break;
      case json::parse_event_t::key:
        if (duplicate_keys_ == DuplicateKeys::Refused && !too_deep_) {
          duplicate_ = duplicate_ || !keys_.back().insert(parsed.get<std::string>()).second;
        }
        break;
      case json::parse_event_t::value: break;
    }
    return !too_deep_;
  }

  bool too_deep() const { return too_deep_; }
  bool duplicate() const { return duplicate_; }

 private:
  const DuplicateKeys duplicate_keys_;
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
  std::size_t depth_ = 0;
  bool too_deep_ = false;
  bool duplicate_ = false;
};

Error fault(std::string message) { return {ErrorCode::InvalidArgument, std::move(message)}; }

}  // namespace

Result<json> parse_json(std::string_view text, DuplicateKeys duplicate_keys) {
  // nlohmann takes a NUL byte for the end of the text.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return fault(fmt::format("not JSON: a NUL byte at byte {}", nul + 1));
  }
  Watch watch(duplicate_keys);
  json value;
  try {
    value = json::parse(text, [&watch](int, json::parse_event_t event, json& parsed) {
      return watch(event, parsed);
    });
  } catch (const json::parse_error& error) {
    return fault(fmt::format("not JSON: cannot be read at byte {}", error.byte));
  } catch (const json::exception&) {
    return fault("not JSON: a number is too large");
  }
  if (watch.too_deep()) return fault(fmt::format("nested deeper than {}", kJsonDepthMax));
  if (watch.duplicate()) return fault("a key stands twice in one object");
  return value;
}

std::string to_text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string to_text(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace sluice::api
