#include "simulate/world.h"

#include <fmt/format.h>

#include <array>

#include "base/assert.h"
#include "simulate/random.h"

namespace sluice::simulate {
namespace {

constexpr std::uint64_t kOrganisationKind = 1;
constexpr std::uint64_t kSubscriberKind = 2;

constexpr Country kGermany{74, "Germany", "49", "262", "de"};
constexpr Country kNetherlands{141, "Netherlands", "31", "204", "nl"};
constexpr Country kFrance{68, "France", "33", "208", "fr"};
constexpr Country kSpain{184, "Spain", "34", "214", "es"};
constexpr Country kItaly{98, "Italy", "39", "222", "it"};
constexpr Country kUnitedKingdom{207, "United Kingdom", "44", "234", "gb"};
constexpr Country kPoland{161, "Poland", "48", "260", "pl"};
constexpr Country kSweden{190, "Sweden", "46", "240", "se"};
constexpr Country kUnitedStates{208, "United States", "1", "310", "us"};

constexpr std::array kNetworks = {
    Network{3, "Vodafone", kGermany, "02", "DEUD2", "491720013", 83, "Europe I", 95},
    Network{2, "Telekom", kGermany, "01", "DEUD1", "491710760", 83, "Europe I", 95},
    Network{7, "O2", kGermany, "03", "DEUE2", "491760000", 83, "Europe I", 80},
    Network{731, "KPN", kNetherlands, "08", "NLDPT", "316540984", 83, "Europe I", 95},
    Network{412, "Orange", kFrance, "01", "FRAF1", "336890040", 83, "Europe I", 110},
    Network{518, "Movistar", kSpain, "07", "ESPTE", "346090991", 83, "Europe I", 110},
    Network{544, "TIM", kItaly, "01", "ITASI", "393358840", 83, "Europe I", 120},
    Network{620, "EE", kUnitedKingdom, "30", "GBRME", "447953718", 84, "Europe II", 145},
    Network{655, "Play", kPoland, "06", "POLP4", "487900120", 83, "Europe I", 90},
    Network{688, "Telia", kSweden, "01", "SWETR", "467050084", 83, "Europe I", 130},
    Network{903, "AT&T", kUnitedStates, "410", "USACG", "142500091", 91, "North America", 320},
};

constexpr std::array kProfiles = {
    Profile{"Tracker", 45, 180, 900, 30'000, 170'000, 9'000'000, 9},
    Profile{"Meter", 30, 20, 90, 1'500, 20'000, 250'000, 8},
    Profile{"Gateway", 10, 600, 2'400, 400'000, 4'000'000, 800'000'000, 6},
    Profile{"Terminal", 15, 60, 420, 8'000, 140'000, 4'000'000, 6},
};

constexpr std::array<std::string_view, 8> kTags = {
    "", "", "", "cold-chain", "cold-chain,pilot", "berlin", "line 7,spare", "rollout-2026"};

constexpr std::array<std::string_view, 12> kPlaces = {
    "Nordwind",  "Müller", "Atlas",    "Fjord",  "Castello", "Rivière",
    "Blue Lake", "Ostsee", "Meridian", "Sierra", "Polder",   "Brightwater"};
constexpr std::array<std::string_view, 8> kTrades = {
    "Logistics", "Metering", "Cold Chain", "Elevators", "Mobility", "Vending", "Energy", "Farming"};
constexpr std::array<std::string_view, 8> kFirstNames = {"Ada",    "Grete", "Linus", "Mary",
                                                         "Edsger", "Noor",  "Tomás", "Jun"};
constexpr std::array<std::string_view, 8> kLastNames = {
    "Weber", "de Vries", "Rossi", "Lindqvist", "Kowalska", "Martin", "O Neill", "Santos"};

template <class Table>
std::string_view pick(const Table& table, Random& random) {
  return table[random.below(static_cast<std::uint32_t>(table.size()))];
}

const Profile& pick_profile(Random& random) {
  std::uint32_t draw = random.below(100);
  for (const Profile& profile : kProfiles) {
    if (draw < profile.weight) return profile;
    draw -= profile.weight;
  }
  return kProfiles.back();
}

// To the second, as provisioning dates are.
std::int64_t date_between(std::int64_t from_ms, std::uint32_t days, Random& random) {
  return from_ms + std::int64_t{random.below(days * 86'400)} * 1000;
}

}  // namespace

std::span<const Network> networks() { return kNetworks; }

Organisation make_organisation(std::uint64_t seed, std::uint64_t id, std::uint32_t index) {
  Random random = Random::of(seed, kOrganisationKind, index);
  Organisation organisation;
  organisation.id = id;
  organisation.name = fmt::format("{} {} {}", pick(kPlaces, random), pick(kTrades, random), id);
  organisation.user_id = 84'000 + index;
  organisation.user_name =
      fmt::format("{} {}", pick(kFirstNames, random), pick(kLastNames, random));
  organisation.user_email = fmt::format("ops@organisation-{}.example", id);
  return organisation;
}

Subscriber make_subscriber(std::uint64_t seed, std::uint32_t index, std::uint32_t number) {
  SLUICE_ASSERT(index < kSubscribersMax);
  constexpr std::int64_t kProductionFromMs = 1'672'531'200'000;  // 2023-01-01
  Random random = Random::of(seed, kSubscriberKind, index);
  // SIMs come in batches with consecutive numbers; another seed is another batch.
  const std::uint64_t batch = (mix(seed) % 90'000) * 10'000'000 + index;

  Subscriber subscriber;
  subscriber.endpoint_id = 8'000'000 + index;
  subscriber.sim_id = 2'000'000 + index;
  subscriber.imsi_id = 1'000'000 + index;
  subscriber.iccid = 8'988'399'000'000'000'000 + batch;
  subscriber.imsi = 901'990'000'000'000 + batch % 10'000'000'000;
  subscriber.msisdn = 882'390'000'000'000 + batch % 10'000'000'000;
  const std::uint64_t type_allocation_code = 35'990'000 + index / 1'000'000 * 4 + random.below(4);
  subscriber.imeisv = type_allocation_code * 100'000'000 + index % 1'000'000 * 100 + 1;
  subscriber.ip_address = (100U << 24 | 64U << 16) + 1 + index;
  subscriber.number = number;
  subscriber.tags = pick(kTags, random);
  subscriber.profile = &pick_profile(random);
  subscriber.production_ms = date_between(kProductionFromMs, 700, random);
  subscriber.import_ms = date_between(subscriber.production_ms, 60, random);
  return subscriber;
}

}  // namespace sluice::simulate
