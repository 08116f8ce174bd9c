#include "api/stream_signing.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "api/schema.h"
#include "api/stream_fields.h"
#include "api/stream_json.h"
#include "base/timestamp.h"
#include "signing/settings.h"

namespace sluice::api {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kPath = "destination.signing";
constexpr const char* kSecret = "secret";
constexpr const char* kPrevious = "previous_secret";
constexpr const char* kUntil = "previous_secret_until";
constexpr std::array<const char*, 2> kSecrets = {kSecret, kPrevious};
constexpr std::int64_t kPreviousMs = 24 * 3'600'000ll;  // in force for so long by default

// Into milliseconds.
void parse_until(json& signing, WallTime now, Faults& faults) {
  const json* const given = find(signing, kUntil);
  if (given == nullptr) {
    if (signing.contains(kPrevious)) signing[kUntil] = now.ms + kPreviousMs;
    return;
  }
  const std::optional<std::int64_t> time =
      given->is_string() ? parse_timestamp(given->get_ref<const std::string&>()) : std::nullopt;
  if (!time) {
    return faults.add(fmt::format("{}.{}", kPath, kUntil),
                      R"(must be a time such as "2026-11-21T20:00:00Z")");
  }
  signing[kUntil] = *time;
}

}  // namespace

json parse_signing(const json& given, WallTime now, Faults& faults) {
  constexpr std::array<std::string_view, 4> kKnown = {"scheme", kSecret, kPrevious, kUntil};
  if (given.is_null() || (given.is_object() && given.empty())) return json();
  if (!given.is_object()) {
    faults.add(kPath, "must be an object");
    return json();
  }
  const std::size_t faults_before = faults.size();
  refuse_unknown(given, kPath, kKnown, faults);
  for (const char* name : kSecrets) {
    if (given.value(name, json()) != kMask) continue;
    faults.add(fmt::format("{}.{}", kPath, name), "*** stands for what is stored, and nothing is");
  }
  json signing = given;
  parse_until(signing, now, faults);
  if (faults.size() != faults_before) return json();
  const Result<signing::Settings> settings = signing::read_settings(signing);
  if (!settings) {
    add_connector_fault(settings.error().message, kPath, faults);
    return json();
  }
  return settings->schemes.empty() ? json() : signing;
}

json merge_signing(const json& stored, const json& given) {
  if (given.is_null() || !given.is_object()) return given;
  json merged = mask_signing(stored);  // with the time as text
  for (const auto& [key, value] : given.items()) {
    if (value.is_null()) {
      merged.erase(key);
    } else {
      merged[key] = value;
    }
  }
  // What goes by itself: a secret's time with it, secrets with the last scheme that has a use for
  // them.
  const auto drop = [&](const char* name) {
    if (!given.contains(name)) merged.erase(name);
  };
  const signing::Uses uses = signing::uses_of(merged.value("scheme", json()));
  if (!uses.secret) drop(kSecret);
  if (!uses.previous_secret) drop(kPrevious);
  const bool same_previous = merged.value(kPrevious, json()) == kMask;
  if (!same_previous) drop(kUntil);
  for (const char* name : kSecrets) {
    const json* const kept = stored.is_object() ? find(stored, name) : nullptr;
    if (kept != nullptr && merged.value(name, json()) == kMask) merged[name] = *kept;
  }
  return merged;
}

void require_signing_anew(const json& stored, const json& given, std::string_view moved,
                          Faults& faults) {
  if (!stored.is_object()) return;
  for (const char* name : kSecrets) {
    const bool anew = given.is_object() && given.contains(name) && given.at(name) != kMask;
    if (!stored.contains(name) || anew) continue;
    faults.add(fmt::format("{}.{}", kPath, name), given_anew(moved));
  }
}

ordered_json mask_signing(const json& stored) {
  ordered_json masked = ordered_json::object();
  if (!stored.is_object()) return masked;
  masked["scheme"] = stored.value("scheme", json());
  for (const char* name : kSecrets) {
    if (stored.contains(name)) masked[name] = kMask;
  }
  if (stored.contains(kUntil)) masked[kUntil] = rfc3339({stored.at(kUntil).get<std::int64_t>()});
  return masked;
}

}  // namespace sluice::api
