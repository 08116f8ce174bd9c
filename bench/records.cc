#include "records.h"

#include <fmt/core.h>

#include <array>
#include <string_view>

namespace sluice::bench {
namespace {

class Dice {
 public:
  explicit Dice(std::mt19937_64& random) : random_(random) {}
  std::uint64_t number(std::uint64_t low, std::uint64_t high) {
    return std::uniform_int_distribution<std::uint64_t>(low, high)(random_);
  }
  bool percent(std::uint64_t chance) { return number(1, 100) <= chance; }
  template <std::size_t N>
  std::string_view one_of(const std::array<std::string_view, N>& choices) {
    return choices[number(0, N - 1)];
  }
  std::string digits(std::string_view prefix, std::size_t count) {
    std::string text(prefix);
    while (text.size() < count) text += static_cast<char>('0' + number(0, 9));
    return text;
  }

 private:
  std::mt19937_64& random_;
};

struct Network {
  std::string_view name, country, iso_code, dial_code, mcc, mnc, tapcode;
};
constexpr std::array<Network, 6> kNetworks{{
    {"Telekom", "Germany", "de", "49", "262", "01", "DEUD1"},
    {"Orange F", "France", "fr", "33", "208", "01", "FRAF1"},
    {"Telia Sverige", "Sweden", "se", "46", "240", "01", "SWETR"},
    {"Vodafone UK", "United Kingdom", "gb", "44", "234", "15", "GBRVF"},
    {"Swisscom", "Switzerland", "ch", "41", "228", "01", "CHEC1"},
    {"AT&T Mobility", "United States of America", "us", "1", "310", "410", "USACG"},
}};
constexpr std::array<std::string_view, 6> kDevices{
    "Cold chain tracker",  "Water meter cellar west", "Lift 3, north tower",
    "Charging point 0417", "Parcel locker station",   "Weather mast"};
constexpr std::array<std::string_view, 4> kTags{"pilot, depot-4", "fleet-a, rented, firmware-2.11",
                                                "stationary", "replacement, warranty, batch-0093"};

std::string timestamp(Dice& dice, std::uint64_t day, std::uint64_t hour, std::string_view suffix) {
  return fmt::format("2026-11-{:02}{}{:02}:{:02}:{:02}{}", day, suffix.empty() ? ' ' : 'T', hour,
                     dice.number(0, 59), dice.number(0, 59), suffix);
}

std::string megabytes(std::uint64_t bytes) {
  return fmt::format("{}.{:06}", bytes / 1'000'000, bytes % 1'000'000);
}

std::string endpoint(Dice& dice) {
  return fmt::format(
      R"("endpoint":{{"id":{},"name":"{} {:04}","ip_address":"10.{}.{}.{}","tags":{},)"
      R"("imei":"{}"}})",
      dice.number(8'000'000, 9'999'999), dice.one_of(kDevices), dice.number(1, 9999),
      dice.number(64, 127), dice.number(0, 255), dice.number(2, 254),
      dice.percent(70) ? fmt::format("\"{}\"", dice.one_of(kTags)) : "null", dice.digits("35", 16));
}

std::string organisation() {
  return R"("organisation":{"id":000000,"name":"Fleet Operations Ltd"})";
}

std::string country(Dice& dice, const Network& network) {
  return fmt::format(R"({{"id":{},"name":"{}","country_code":"{}","mcc":"{}","iso_code":"{}"}})",
                     dice.number(10, 99), network.country, network.dial_code, network.mcc,
                     network.iso_code);
}

std::string usage(Dice& dice) {
  const Network& network = kNetworks[dice.number(0, kNetworks.size() - 1)];
  const bool sms = dice.percent(15);
  std::string json =
      fmt::format(R"({{"id":000000000000000,"cost":{}.{:010},)"
                  R"("operator":{{"id":{},"name":"{}","country":{},"mnc":"{}"}},{},)",
                  dice.number(0, 2), dice.number(0, 9'999'999'999), dice.number(1, 999),
                  network.name, country(dice, network), network.mnc, organisation());
  json += fmt::format(R"("tariff":{{"id":{},"name":"Metered worldwide {}",)"
                      R"("ratezone":{{"id":{},"name":"Zone {}"}}}},)"
                      R"("traffic_type":{{"id":{},"description":"{}"}},)",
                      dice.number(10, 99), dice.number(1, 9), dice.number(100, 999),
                      dice.number(1, 9), sms ? 6 : 5, sms ? "SMS" : "Data");
  if (dice.percent(75)) {
    json += endpoint(dice) + ",";
  } else {
    json += fmt::format(R"("endpoint":{{"id":{}}},)", dice.number(8'000'000, 9'999'999));
  }
  json += fmt::format(R"("imsi":"{}","sim":{{"id":{},"iccid":"{}"{}}},)", dice.digits("90140", 15),
                      dice.number(100'000, 999'999), dice.digits("8988", 19),
                      dice.percent(55) ? fmt::format(R"(,"production_date":"{}")",
                                                     timestamp(dice, 1, 8, ".000+0000"))
                                       : "");
  const std::uint64_t rx = dice.number(0, 9'999'999);
  const std::uint64_t tx = dice.number(0, 9'999'999);
  json += sms ? std::string(R"("volume":{"rx":0.0,"tx":1.0,"total":1.0},)")
              : fmt::format(R"("volume":{{"rx":{},"tx":{},"total":{}}},)", megabytes(rx),
                            megabytes(tx), megabytes(rx + tx));
  const std::uint64_t day = dice.number(1, 28);
  json += fmt::format(R"("start_timestamp":"{}","end_timestamp":"{}",)"
                      R"("currency":{{"id":1,"code":"EUR","symbol":"€"}}}})",
                      timestamp(dice, day, dice.number(0, 11), ""),
                      timestamp(dice, day, dice.number(12, 23), ""));
  return json;
}

std::string event(Dice& dice) {
  struct Type {
    int id;
    std::string_view description, detail;
  };
  static constexpr std::array<Type, 3> kTypes{{{1, "Update location", "now attached to"},
                                               {3, "Create PDP Context", "context opened at"},
                                               {4, "Delete PDP Context", "context closed at"}}};
  const Type& type = kTypes[dice.number(0, kTypes.size() - 1)];
  const Network& network = kNetworks[dice.number(0, kNetworks.size() - 1)];
  const std::string imsi = dice.digits("90140", 15);
  std::string json =
      fmt::format(R"({{"id":000000000000000,"alert":false,"description":"{} for IMSI {}, {} {}",)"
                  R"("timestamp":"{}","event_type":{{"id":{},"description":"{}"}},)"
                  R"("event_source":{{"id":0,"description":"Network"}},)"
                  R"("event_severity":{{"id":0,"description":"Info"}},{},)",
                  type.description, imsi, type.detail, dice.digits(network.dial_code, 12),
                  timestamp(dice, dice.number(1, 28), dice.number(0, 23), ".000+0000"), type.id,
                  type.description, organisation());
  if (dice.percent(90)) json += endpoint(dice) + ",";
  json += fmt::format(R"("imsi":{{"id":{},"imsi":"{}","import_date":"{}"}},)",
                      dice.number(100'000, 999'999), imsi, timestamp(dice, 2, 9, ".000+0000"));
  json += fmt::format(R"("sim":{{"id":{},"iccid":"{}"}})", dice.number(100'000, 999'999),
                      dice.digits("8988", 19));
  if (dice.percent(60)) {
    json += fmt::format(
        R"(,"detail":{{"id":{},"name":"{}","country":{},"tapcode":[{{"id":{},"tapcode":"{}"}}],)"
        R"("mnc":[{{"id":{},"mnc":"{}"}}]}})",
        dice.number(1, 999), network.name, country(dice, network), dice.number(1, 999),
        network.tapcode, dice.number(1, 999), network.mnc);
  }
  return json + "}";
}

}  // namespace

RecordTemplate make_record(RecordKind kind, std::mt19937_64& random) {
  constexpr std::string_view kId = R"("id":)";
  constexpr std::string_view kOrganisation = R"("organisation":{"id":)";
  Dice dice(random);
  RecordTemplate record;
  record.json = kind == RecordKind::Usage ? usage(dice) : event(dice);
  record.id_at = record.json.find(kId) + kId.size();
  record.organisation_at = record.json.find(kOrganisation) + kOrganisation.size();
  return record;
}

void write_digits(char* at, std::size_t digits, std::uint64_t number) {
  for (std::size_t i = digits; i-- > 0; number /= 10) at[i] = static_cast<char>('0' + number % 10);
}

}  // namespace sluice::bench
