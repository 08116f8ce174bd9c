#include "dispatch/delivery_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

namespace sluice::dispatch {
namespace {

using nlohmann::json;

constexpr std::int64_t kHourMs = 3'600'000;
constexpr std::int64_t kTenYearsS = 10LL * 365 * 86'400;

// Reads one object's properties and remembers what was wrong.
class ObjectReader {
 public:
  ObjectReader(const json& object, std::string path, std::vector<DeliveryFault>& faults)
      : object_(object), path_(std::move(path)), faults_(faults) {}

  void fault(std::string_view key, std::string message) {
    faults_.push_back({fmt::format("{}.{}", path_, key), std::move(message)});
  }

  const json* find(std::string_view key) const {
    const auto found = object_.find(key);
    return found == object_.end() ? nullptr : &*found;
  }

  // Nullopt: absent, or a fault was added.
  std::optional<std::int64_t> read_integer(std::string_view key, std::int64_t min,
                                           std::int64_t max) {
    const json* value = find(key);
    if (value == nullptr) return std::nullopt;
    // An unsigned number beyond the signed range must not wrap into it.
    const bool fits = value->is_number_integer() &&
                      (!value->is_number_unsigned() ||
                       value->get<std::uint64_t>() <= static_cast<std::uint64_t>(max));
    if (fits && value->get<std::int64_t>() >= min && value->get<std::int64_t>() <= max) {
      return value->get<std::int64_t>();
    }
    fault(key, fmt::format("must be an integer from {} to {}", min, max));
    return std::nullopt;
  }

  template <class Duration>
  void read_duration(std::string_view key, std::int64_t min, std::int64_t max, Duration& into) {
    if (const auto value = read_integer(key, min, max)) into = Duration(*value);
  }

  void read_share(std::string_view key, double& into) {
    const json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_number() || !(value->get<double>() >= 0 && value->get<double>() <= 1)) {
      fault(key, "must be a number from 0 to 1");
      return;
    }
    into = value->get<double>();
  }

  void refuse_others(std::initializer_list<std::string_view> known) {
    for (const auto& [key, value] : object_.items()) {
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      fault(key, "unknown property");
    }
  }

 private:
  const json& object_;
  const std::string path_;
  std::vector<DeliveryFault>& faults_;
};

void read_preset(ObjectReader& reader) {
  const json* value = reader.find("preset");
  if (value == nullptr || *value == "emnify") return;
  const bool later = *value == "1nce" || *value == "dt" || *value == "airvantage";
  reader.fault("preset",
               later ? "not available yet in this version; only \"emnify\"" : "must be \"emnify\"");
}

void read_success(ObjectReader& reader, DeliverySettings& settings) {
  const json* value = reader.find("success");
  if (value == nullptr) return;
  if (*value != "2xx" && *value != "200") {
    reader.fault("success", "must be \"2xx\" or \"200\"");
    return;
  }
  settings.success_200_only = *value == "200";
}

void read_limits(ObjectReader& reader, DeliverySettings& settings) {
  const auto count = [&](std::string_view key, std::int64_t min, std::uint32_t& into) {
    if (const auto value = reader.read_integer(key, min, 1'000)) {
      into = static_cast<std::uint32_t>(*value);
    }
  };
  count("misconfigured_in_a_row", 1, settings.misconfigured_in_a_row);
  count("rejected_in_a_row", 0, settings.rejected_in_a_row);
  if (const json* value = reader.find("on_rejected")) {
    if (*value != "park" && *value != "halt") {
      reader.fault("on_rejected", "must be \"park\" or \"halt\"");
    }
    settings.halt_on_rejected = *value == "halt";
  }
  if (const json* value = reader.find("max_age_s"); value != nullptr && !value->is_null()) {
    reader.read_duration("max_age_s", 1, kTenYearsS, settings.max_age.emplace());
  }
  if (const auto parallel = reader.read_integer("parallel", 1, 64)) {
    settings.parallel = static_cast<std::uint32_t>(*parallel);
  }
}

void read_retry(ObjectReader& reader, std::vector<DeliveryFault>& faults,
                DeliverySettings& settings) {
  const json* value = reader.find("retry");
  if (value == nullptr) return;
  if (!value->is_object()) {
    reader.fault("retry", "must be an object");
    return;
  }
  ObjectReader retry(*value, "delivery.retry", faults);
  const std::size_t faults_before = faults.size();
  retry.read_duration("initial_ms", 10, kHourMs, settings.initial);
  retry.read_duration("max_ms", 10, kHourMs, settings.max);
  retry.read_share("jitter", settings.jitter);
  retry.refuse_others({"initial_ms", "max_ms", "jitter"});
  if (faults.size() == faults_before && settings.max < settings.initial) {
    retry.fault("max_ms", "must not be less than initial_ms");
  }
}

}  // namespace

std::optional<DeliverySettings> parse_delivery(const json& delivery,
                                               std::vector<DeliveryFault>& faults) {
  if (!delivery.is_object()) {
    faults.push_back({"delivery", "must be an object"});
    return std::nullopt;
  }
  const std::size_t faults_before = faults.size();
  DeliverySettings settings;
  ObjectReader reader(delivery, "delivery", faults);
  read_preset(reader);
  read_retry(reader, faults, settings);
  reader.read_duration("timeout_ms", 100, 120'000, settings.timeout);
  reader.read_duration("error_after_s", 1, kTenYearsS, settings.error_after);
  reader.read_duration("linger_ms", 0, kHourMs, settings.linger);
  reader.read_duration("interval_ms", 0, kHourMs, settings.interval);
  read_success(reader, settings);
  read_limits(reader, settings);
  reader.refuse_others({"preset", "retry", "timeout_ms", "error_after_s", "linger_ms",
                        "interval_ms", "success", "misconfigured_in_a_row", "rejected_in_a_row",
                        "parallel", "on_rejected", "max_age_s"});
  if (faults.size() != faults_before) return std::nullopt;
  return settings;
}

Result<DeliverySettings> parse_delivery(const json& delivery) {
  std::vector<DeliveryFault> faults;
  if (const auto settings = parse_delivery(delivery, faults)) return *settings;
  std::string message;
  for (const DeliveryFault& fault : faults) {
    if (!message.empty()) message += "; ";
    message += fault.property + ": " + fault.message;
  }
  return Error{ErrorCode::InvalidArgument, message};
}

}  // namespace sluice::dispatch
