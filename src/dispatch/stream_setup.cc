#include "dispatch/stream_setup.h"

#include <exception>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>

#include "dispatch/delivery_settings.h"
#include "egress/url.h"
#include "filters/filter.h"

namespace sluice::dispatch {
namespace {

// Grows when a formatter's bytes change for the same records and settings.
constexpr std::uint32_t kFormatters = 1;

// The row's revision grows with its settings, kFormatters with this program: together they name
// what shapes the bytes.
std::uint32_t render_revision(const catalog::Stream& row) {
  return (kFormatters << 24) + row.render_revision;
}

// A run's requests are others than batches: an id must not stand for one of each.
constexpr std::uint32_t kFansOut = 1u << 23;

// Throws what nlohmann/json throws.
StreamSetup from_json(const catalog::Stream& row, const FindConnector& find_connector,
                      const connectors::ConnectorContext& context) {
  StreamSetup setup;
  const auto destination = nlohmann::json::parse(row.destination);
  const auto& type = destination.at("connection_type").get_ref<const std::string&>();
  const connectors::ConnectorDescriptor* descriptor = find_connector(type);
  if (descriptor == nullptr) {
    setup.settings.unusable = "this version of Sluice has no connection type " + type;
    return setup;
  }
  const KindSet kinds = kinds_of(row.type);
  if (kinds == KindSet{}) {
    setup.settings.unusable =
        "this version of Sluice has no data stream type " + std::to_string(row.type);
    return setup;
  }
  const auto delivery =
      parse_delivery(nlohmann::json::parse(row.delivery.empty() ? "{}" : row.delivery));
  if (!delivery) {
    setup.settings.unusable =
        "the stream's delivery settings cannot be used: " + delivery.error().message;
    return setup;
  }
  const auto compiled = filters::Filter::compile(nlohmann::json::parse(row.filters), kinds);
  if (const auto* faults = std::get_if<std::vector<filters::Fault>>(&compiled)) {
    setup.settings.unusable = "the stream's filters cannot be used: " + faults->front().clause +
                              " " + faults->front().message;
    return setup;
  }
  const auto& filter = std::get<std::shared_ptr<const filters::Filter>>(compiled);
  if (!filter->passes_all()) setup.settings.filter = filter;
  setup.settings.delivery = *delivery;
  setup.settings.limits = descriptor->limits(destination.at("credentials"));
  setup.host = host_of(type, destination.at("credentials"));
  // The text, which takes less room than what it is parsed to; most streams rest.
  setup.make_connector = [=, text = row.destination, organisation = row.organisation,
                          stream = row.id, context = &context,
                          success_200_only = delivery->success_200_only] {
    return descriptor->create({.organisation = organisation,
                               .stream = stream,
                               .settings = nlohmann::json::parse(text),
                               .success_200_only = success_200_only,
                               .kinds = kinds},
                              *context);
  };
  return setup;
}

}  // namespace

std::string host_of(const std::string& type, const nlohmann::json& credentials) {
  const auto text = [&credentials](const char* key) {
    const auto found = credentials.find(key);
    return found != credentials.end() && found->is_string() ? found->get<std::string>() : "";
  };
  for (const char* key : {"url", "queue_url", "endpoint_url", "login_url", "brokers"}) {
    std::string target = text(key);
    if (target.empty()) continue;
    const Result<egress::Url> parsed = egress::parse_url(target);
    return parsed ? parsed->host : std::move(target);
  }
  if (credentials.empty()) return "";
  const std::string region = text("region");
  return region.empty() ? type : type + "." + region;
}

KindSet kinds_of(std::uint32_t type) {
  switch (type) {
    case 1: return {Kind::Usage};
    case 2: return {Kind::Event};
    case 3: return {Kind::Usage, Kind::Event};
    default: return {};
  }
}

StreamSetup set_up(const catalog::Stream& row, const FindConnector& find_connector,
                   const connectors::ConnectorContext& context) {
  StreamSetup setup;
  try {
    setup = from_json(row, find_connector, context);
  } catch (const std::exception& failure) {
    // The text may quote the settings, which hold secrets.
    setup.settings.unusable = "the stream's settings as stored cannot be read";
  }
  if (!setup.settings.unusable.empty()) {
    setup.settings.unusable += "; change them, or delete the stream and create it anew";
  }
  setup.settings.filter_revision = row.filter_revision;
  setup.settings.render_revision = render_revision(row);
  if (setup.settings.delivery.parallel > 1) setup.settings.render_revision |= kFansOut;
  setup.settings.settings_revision = row.settings_revision;
  return setup;
}

}  // namespace sluice::dispatch
