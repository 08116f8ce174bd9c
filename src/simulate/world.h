#pragma once
// Who and where: organisations, subscribers (an endpoint with its SIM) and networks. All of it
// follows from the seed and a number, so a fleet keeps none of it in memory.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace sluice::simulate {

struct Country {
  std::uint32_t id;
  std::string_view name;
  std::string_view country_code;
  std::string_view mcc;
  std::string_view iso_code;
};

struct Network {
  std::uint32_t id;
  std::string_view name;
  Country country;
  std::string_view mnc;
  std::string_view tapcode;
  std::string_view visited_register;  // global title of its VLR
  std::uint32_t ratezone_id;
  std::string_view ratezone_name;
  std::uint32_t price_e4;  // ten-thousandths of a euro for 1 MB
};

std::span<const Network> networks();

// How an endpoint uses the network.
struct Profile {
  std::string_view noun;  // of its name
  std::uint32_t weight;   // of 100 endpoints
  std::uint32_t session_s_min, session_s_max;
  std::uint32_t bytes_min, bytes_max;  // in 45 s
  std::uint32_t quota_bytes;           // a quota is used up now and then
  std::uint8_t rat_type;
};

struct Organisation {
  std::uint64_t id;
  std::string name;
  std::uint32_t user_id;
  std::string user_name;
  std::string user_email;
};

struct Subscriber {
  std::uint64_t endpoint_id;
  std::uint64_t sim_id;
  std::uint64_t imsi_id;
  std::uint64_t iccid;   // 19 digits: without the check digit
  std::uint64_t imsi;    // 15 digits
  std::uint64_t msisdn;  // 15 digits
  std::uint64_t imeisv;  // 16 digits
  std::uint32_t ip_address;
  std::uint32_t number;   // within its organisation
  std::string_view tags;  // empty: null
  const Profile* profile;
  std::int64_t production_ms;
  std::int64_t import_ms;
};

inline constexpr std::uint32_t kSubscribersMax = 4'000'000;  // they share 100.64.0.0/10

Organisation make_organisation(std::uint64_t seed, std::uint64_t id, std::uint32_t index);

// `index` counts through the whole fleet and is below kSubscribersMax; no two subscribers of a
// fleet share an id or a number.
Subscriber make_subscriber(std::uint64_t seed, std::uint32_t index, std::uint32_t number);

}  // namespace sluice::simulate
