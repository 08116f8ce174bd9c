#include "simulate/event_detail.h"

#include "simulate/random.h"

namespace sluice::simulate {
namespace {

constexpr std::int64_t kDayMs = 86'400'000;

// Without the closing brace: session types go on.
void write_network(JsonText& out, const Network& network, bool with_codes) {
  const Country& country = network.country;
  out.raw(R"({"id":)").number(network.id).raw(R"(,"name":)").quoted(network.name);
  out.raw(R"(,"country":{"id":)").number(country.id).raw(R"(,"name":)").quoted(country.name);
  out.raw(R"(,"country_code":)").quoted(country.country_code);
  out.raw(R"(,"mcc":)").quoted(country.mcc);
  out.raw(R"(,"iso_code":)").quoted(country.iso_code).raw("}");
  if (!with_codes) return;
  out.raw(R"(,"tapcode":[{"id":)").number(network.id + 10);
  out.raw(R"(,"tapcode":)").quoted(network.tapcode);
  out.raw(R"(}],"mnc":[{"id":)").number(network.id).raw(R"(,"mnc":)").quoted(network.mnc);
  out.raw("}]");
}

void write_pdp_context(JsonText& out, std::int64_t type_id, const DetailContext& context) {
  const bool classic = context.dialect == Dialect::Classic;
  const Network& network = context.network;
  // What the core network made up for this session.
  Random random(context.session.id.high);
  const std::uint32_t visited = 10U << 24 | (network.id % 256) << 16 | random.below(1 << 16);
  const std::uint32_t home = 10U << 24 | 255U << 16 | random.below(64);
  const std::uint64_t context_id = 40'000'000 + random.below(1'000'000'000);
  const std::uint32_t area = random.below(65'000);
  const std::uint32_t cell = random.below(65'000);
  const std::uint64_t teid = random.next() >> 32;

  out.raw(R"(,"pdp_context":{"pdp_context_id":)");
  classic ? out.quoted(context_id) : out.number(context_id);
  out.raw(R"(,"tunnel_created":)").time(context.session.created_ms, TimeForm::NoZone);
  out.raw(classic ? R"(,"gtp_version":"2")" : R"(,"gtp_version":2)");
  out.raw(R"(,"ggsn_control_plane_ip_address":")").ip_address(home);
  out.raw(R"(","ggsn_data_plane_ip_address":")").ip_address(home + 64);
  out.raw(R"(","sgsn_control_plane_ip_address":")").ip_address(visited);
  out.raw(R"(","sgsn_data_plane_ip_address":")").ip_address(visited ^ 1);
  out.raw(R"(","region":"eu-central-1","breakout_ip":)");
  out.raw(network.country.iso_code == "us" ? R"("unavailable")" : "null");
  out.raw(type_id == 5 ? R"(,"apn":null)" : R"(,"apn":"fleet.example")");
  out.raw(R"(,"nsapi":5,"ue_ip_address":")").ip_address(context.subscriber.ip_address);
  out.raw(R"(","imeisv":)").quoted(context.subscriber.imeisv);
  out.raw(R"(,"mcc":)").quoted(network.country.mcc).raw(R"(,"mnc":)").quoted(network.mnc);
  out.raw(R"(,"lac":)").number(area).raw(R"(,"ci":)").number(cell);
  out.raw(R"(,"rat_type":)").number(context.subscriber.profile->rat_type);
  out.raw(R"(,"rx_teid":)");
  classic ? out.quoted(teid) : out.number(teid);
  if (type_id == 3) {
    out.raw(R"(,"operator_id":)").quoted(network.id);
    out.raw(R"(,"tariff_id":"64","ratezone_id":)").quoted(network.ratezone_id);
  }
  out.raw("}");
}

void write_session(JsonText& out, std::int64_t type_id, const DetailContext& context) {
  write_network(out, context.network, false);
  out.raw(R"(,"session_id":")");
  write_session_id(out, context.session.id);
  out.raw("\"");
  write_pdp_context(out, type_id, context);
  if (type_id == 5) {
    const PdpSession& session = context.session;
    out.raw(R"(,"volume":{"total":)").decimal(session.rx_bytes + session.tx_bytes, 6);
    out.raw(R"(,"rx":)").decimal(session.rx_bytes, 6);
    out.raw(R"(,"tx":)").decimal(session.tx_bytes, 6).raw("}");
  }
  out.raw("}");
}

// 18 and 19 count megabytes, 20 and 21 SMS.
void write_quota_reached(JsonText& out, std::int64_t type_id, const DetailContext& context) {
  const bool sms = type_id >= 20;
  const std::uint64_t volume_e6 = sms ? 50'000'000 : context.subscriber.profile->quota_bytes;
  out.raw(R"({"quota":{"threshold_percentage":80,"threshold_volume":)");
  out.decimal(volume_e6 / 10 * 8, 6).raw(R"(,"volume":)").decimal(volume_e6, 6).raw("}");
  if (sms) out.raw(R"(,"traffic_type":{"id":6,"description":"SMS"})");
  out.raw("}");
}

void write_quota_assigned(JsonText& out, const DetailContext& context) {
  const TimeForm form = time_form(context.dialect);
  out.raw(R"({"quota":{"status":{"id":1,"description":"ACTIVE"},)");
  out.raw(R"("action_on_exhaustion":{"id":1,"description":"Block","peak_throughput":128000},)");
  out.raw(R"("volume":10,"expiryDate":)").time(context.time_ms + 30 * kDayMs, form);
  out.raw(R"(,"lastVolumeAdded":10,"lastStatusChangeDate":)").time(context.time_ms, form);
  out.raw(R"(,"autoRefill":false,"thresholdPercentage":80,"thresholdVolume":8}})");
}

// Shaped like the platform's activation tokens, which never may leave; this one opens nothing.
void write_activation_token(JsonText& out, const DetailContext& context) {
  const auto part = [&](std::uint64_t salt, int count) {
    Random random = Random::of(context.organisation.id, salt, context.subscriber.endpoint_id);
    for (int i = 0; i < count; ++i) out.hex(random.next(), 16);
  };
  out.raw(R"({"token":"eyJhbGciOiJIUzI1NiJ9.eyJ)");
  part(1, 3);
  out.raw(".");
  part(2, 3);
  out.raw(R"("})");
}

void write_user(JsonText& out, std::string_view key, const Organisation& organisation) {
  out.raw("{").quoted(key).raw(R"(:{"id":)").number(organisation.user_id);
  out.raw(R"(,"username":)").quoted(organisation.user_email).raw("}}");
}

}  // namespace

EventProfile event_profile(std::int64_t type_id) {
  using enum Severity;
  using enum Source;
  switch (type_id) {
    case 6:
    case 7: return {Warn, Api, false, Subject::User};
    case 8:
    case 9:
    case 10:
    case 42:
    case 43:
    case 51: return {Info, Api, false, Subject::Endpoint};
    case 0:
    case 49: return {Warn, Network, true, Subject::Endpoint};
    case 11: return {Warn, PolicyControl, true, Subject::Endpoint};
    case 12: return {Critical, PolicyControl, true, Subject::Organisation};
    case 13:
    case 14:
    case 17:
    case 31:
    case 32:
    case 33:
    case 34:
    case 36:
    case 37:
    case 38:
    case 39:
    case 40:
    case 41:
    case 46:
    case 48:
    case 67: return {Info, Api, false, Subject::User};
    case 18:
    case 20: return {Info, PolicyControl, true, Subject::Endpoint};
    case 19:
    case 21: return {Warn, PolicyControl, true, Subject::Endpoint};
    case 22:
    case 23:
    case 25:
    case 26:
    case 27: return {Info, Api, false, Subject::Organisation};
    case 52:
    case 53:
    case 54:
    case 55: return {Warn, Api, false, Subject::Organisation};
    case 56:
    case 57:
    case 58:
    case 59:
    case 60: return {Info, Api, false, Subject::Endpoint};
    default: return {};
  }
}

void write_session_id(JsonText& out, SessionId id) {
  out.hex(id.high >> 32, 8).raw("-").hex(id.high >> 16 & 0xffff, 4);
  out.raw("-4").hex(id.high & 0xfff, 3).raw("-");
  out.hex((id.low >> 48 & 0x3fff) | 0x8000, 4).raw("-").hex(id.low & 0xffff'ffff'ffff, 12);
}

void write_detail(JsonText& out, std::int64_t type_id, const DetailContext& context) {
  switch (type_id) {
    case 1:
    case 2:
      write_network(out, context.network, true);
      out.raw("}");
      break;
    case 3:
    case 4:
    case 5: write_session(out, type_id, context); break;
    case 8:
      out.raw(R"({"transition":{"sim":{"status":{"from":{"id":4,"description":"FACTORY TEST"},)");
      out.raw(R"("to":{"id":1,"description":"ACTIVATED"}}},"reason":"First use"}})");
      break;
    case 13:
      out.raw(R"({"support_username":"help@platform.example","support_user_org":{"id":1,)");
      out.raw(R"("name":"Platform"},"target_username":)").quoted(context.organisation.user_email);
      out.raw("}");
      break;
    case 18:
    case 19:
    case 20:
    case 21: write_quota_reached(out, type_id, context); break;
    case 22:
    case 23:
    case 25:
      out.raw(R"({"username":)").quoted(context.organisation.user_email);
      out.raw(R"(,"breakout_id":21,"creation_date":)");
      out.time(context.time_ms, time_form(context.dialect));
      out.raw(R"(,"deletion_date":null,"region":"eu-central-1","resource_share_name":"fleet",)");
      out.raw(R"("breakout_type_id":3,"breakout_type":"Transit gateway","price":0.25})");
      break;
    case 30:
      out.raw(R"({"region":"eu-central-1","client":{"public_ip":"192.0.2.17",)");
      out.raw(R"("version":"2.6.3","private_ip":"10.64.0.9"},"protocol":"udp"})");
      break;
    case 31:
      out.raw(R"({"changed_data":[{"name":{"old":"Fleet","new":)");
      out.quoted(context.organisation.name).raw("}}]}");
      break;
    case 36:
    case 37:
    case 40: write_activation_token(out, context); break;
    case 38: out.raw(R"({"id":5521,"location":"/orders/5521"})"); break;
    case 39:
      out.raw(R"({"status":{"id":2},"ext_shipping_reference":"SH-5521",)");
      out.raw(R"("shipped_with_provider_id":1,"shipped_date":)");
      out.time(context.time_ms, time_form(context.dialect)).raw("}");
      break;
    case 46: write_user(out, "user", context.organisation); break;
    case 48:
      out.raw(R"({"sim_batch":{"id":771,"sim_model":{"id":4},"batch_size":500,"first_iccid":)");
      out.quoted(context.subscriber.iccid).raw(R"(,"last_iccid":)");
      out.quoted(context.subscriber.iccid + 499).raw("}}");
      break;
    case 51: out.raw(R"({"imei":)").quoted(context.subscriber.imeisv).raw("}"); break;
    case 56:
    case 58: write_quota_assigned(out, context); break;
    default: break;
  }
}

}  // namespace sluice::simulate
