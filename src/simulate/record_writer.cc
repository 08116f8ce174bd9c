#include "simulate/record_writer.h"

#include <array>

namespace sluice::simulate {
namespace {

constexpr std::array<std::string_view, 3> kSeverities = {"Info", "Warn", "Critical"};
constexpr std::array<std::string_view, 3> kSeveritiesCapital = {"INFO", "WARN", "CRITICAL"};
constexpr std::array<std::string_view, 3> kSources = {"Network", "Policy Control", "API"};

// Switching a quota on or off concerns the organisation: 1NCE leaves these keys out altogether.
bool lacks_subject_keys(std::int64_t event_type_id) {
  return event_type_id >= 52 && event_type_id <= 55;
}

}  // namespace

std::optional<Dialect> dialect_from_name(std::string_view name) {
  if (name == "emnify") return Dialect::Emnify;
  if (name == "classic") return Dialect::Classic;
  if (name == "1nce") return Dialect::Nce;
  return std::nullopt;
}

TimeForm time_form(Dialect dialect) {
  switch (dialect) {
    case Dialect::Emnify: return TimeForm::Milliseconds;
    case Dialect::Classic: return TimeForm::Blank;
    case Dialect::Nce: return TimeForm::Seconds;
  }
  return TimeForm::Milliseconds;
}

void RecordWriter::absent(std::string_view key) {
  if (dialect_ == Dialect::Emnify) return;
  json_.raw(",").quoted(key).raw(":null");
}

void RecordWriter::organisation_object(const Organisation& organisation) {
  json_.raw(R"(,"organisation":{"id":)").number(organisation.id).raw(R"(,"name":")");
  if (dialect_ == Dialect::Nce) {
    json_.number(8'100'000'000 + organisation.id);  // there the name is the customer number
  } else {
    json_.raw(organisation.name);
  }
  json_.raw("\"}");
}

void RecordWriter::sim_object(const Subscriber& subscriber, bool full) {
  json_.raw(R"(,"sim":{"id":)").number(subscriber.sim_id);
  json_.raw(R"(,"iccid":)").quoted(subscriber.iccid);
  if (full) {
    json_.raw(R"(,"msisdn":)").quoted(subscriber.msisdn);
    json_.raw(R"(,"production_date":)").time(subscriber.production_ms, times_);
  }
  json_.raw("}");
}

void RecordWriter::endpoint_object(const Subscriber& subscriber, bool with_balance) {
  json_.raw(R"(,"endpoint":{"id":)").number(subscriber.endpoint_id);
  json_.raw(R"(,"name":")").raw(subscriber.profile->noun).raw(" ").number(subscriber.number);
  json_.raw(R"(","ip_address":")").ip_address(subscriber.ip_address).raw(R"(","tags":)");
  if (subscriber.tags.empty()) {
    json_.raw("null");
  } else {
    json_.quoted(subscriber.tags);
  }
  json_.raw(R"(,"imei":)").quoted(subscriber.imeisv);
  json_.raw(with_balance ? R"(,"balance":null})" : "}");
}

void RecordWriter::event_subject(const EventFields& fields) {
  if (fields.subscriber != nullptr) {
    endpoint_object(*fields.subscriber, false);
    json_.raw(R"(,"imsi":{"id":)").number(fields.subscriber->imsi_id);
    json_.raw(R"(,"imsi":")").number(fields.subscriber->imsi);
    json_.raw(R"(","import_date":)").time(fields.subscriber->import_ms, times_).raw("}");
    sim_object(*fields.subscriber, true);
  } else if (dialect_ != Dialect::Nce || !lacks_subject_keys(fields.type_id)) {
    absent("endpoint");
    absent("imsi");
    absent("sim");
  }
}

std::string_view RecordWriter::event(const EventFields& fields, const Organisation& organisation) {
  const auto severity = static_cast<std::size_t>(fields.severity);
  const auto source = static_cast<std::size_t>(fields.source);
  const bool classic = dialect_ == Dialect::Classic;
  json_.clear();
  json_.raw(R"({"id":)").number(fields.id).raw(R"(,"alert":)");
  json_.raw(classic ? (fields.alert ? "1" : "0") : (fields.alert ? "true" : "false"));
  json_.raw(R"(,"description":)").quoted(fields.description);
  json_.raw(R"(,"timestamp":)").time(fields.time_ms, times_);
  json_.raw(R"(,"event_type":{"id":)").number(static_cast<std::uint64_t>(fields.type_id));
  json_.raw(R"(,"description":)").quoted(fields.type_name);
  json_.raw(R"(},"event_source":{"id":)").number(source);
  json_.raw(classic ? R"(,"name":)" : R"(,"description":)").quoted(kSources[source]);
  json_.raw(R"(},"event_severity":{"id":)").number(severity).raw(R"(,"description":)");
  json_.quoted((dialect_ == Dialect::Emnify ? kSeverities : kSeveritiesCapital)[severity]);
  json_.raw("}");
  organisation_object(organisation);
  event_subject(fields);
  if (fields.by_user) {
    json_.raw(R"(,"user":{"id":)").number(organisation.user_id);
    json_.raw(R"(,"username":)").quoted(organisation.user_email);
    json_.raw(R"(,"name":)").quoted(organisation.user_name).raw("}");
  } else {
    absent("user");
  }
  if (fields.detail.empty()) {
    absent("detail");
  } else {
    json_.raw(R"(,"detail":)").raw(fields.detail);
  }
  return json_.raw("}").view();
}

std::string_view RecordWriter::usage(const UsageFields& fields, const Organisation& organisation,
                                     const Subscriber& subscriber) {
  const Network& network = *fields.network;
  json_.clear();
  json_.raw(R"({"id":)").number(fields.id).raw(R"(,"cost":)").decimal(fields.cost_e10, 10);
  json_.raw(R"(,"currency":{"id":1,"code":"EUR","symbol":"€"},"start_timestamp":)");
  json_.time(fields.start_ms, times_).raw(R"(,"end_timestamp":)").time(fields.end_ms, times_);
  json_.raw(R"(,"volume":{"total":)").decimal(fields.rx_e6 + fields.tx_e6, 6);
  json_.raw(R"(,"rx":)").decimal(fields.rx_e6, 6).raw(R"(,"tx":)").decimal(fields.tx_e6, 6);
  json_.raw(R"(},"imsi":)").quoted(subscriber.imsi);
  const bool nce = dialect_ == Dialect::Nce;  // the one that tells more here than emnify does
  if (nce) json_.raw(R"(,"imsi_id":)").number(subscriber.imsi_id);
  endpoint_object(subscriber, nce);
  sim_object(subscriber, nce);
  organisation_object(organisation);
  json_.raw(R"(,"operator":{"id":)").number(network.id).raw(R"(,"name":)").quoted(network.name);
  json_.raw(R"(,"mnc":)").quoted(network.mnc);
  json_.raw(R"(,"country":{"id":)").number(network.country.id);
  json_.raw(R"(,"name":)").quoted(network.country.name);
  json_.raw(R"(,"mcc":)").quoted(network.country.mcc);
  json_.raw(R"(}},"tariff":{"id":64,"name":"Fleet Standard","ratezone":{"id":)");
  json_.number(network.ratezone_id).raw(R"(,"name":)").quoted(network.ratezone_name);
  json_.raw(R"(}},"traffic_type":{"id":)").number(fields.traffic_type);
  json_.raw(dialect_ == Dialect::Classic ? R"(,"name":)" : R"(,"description":)");
  json_.raw(fields.traffic_type == kTrafficSms ? R"("SMS"})" : R"("Data"})");
  if (!fields.session_id.empty()) json_.raw(R"(,"session_id":)").quoted(fields.session_id);
  return json_.raw("}").view();
}

}  // namespace sluice::simulate
