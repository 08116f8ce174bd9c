#include "simulate/fleet.h"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "base/assert.h"
#include "catalogue/catalogue.h"
#include "simulate/event_detail.h"
#include "simulate/random.h"
#include "simulate/world.h"

namespace sluice::simulate {
namespace {

constexpr std::uint64_t kEndpointKind = 3;
constexpr std::uint64_t kOrganisationLifeKind = 4;
constexpr std::uint64_t kIdKind = 5;
constexpr std::uint64_t kTourKind = 6;

constexpr std::int64_t kSecondMs = 1000;
constexpr std::int64_t kInterimMs = 45 * kSecondMs;
constexpr std::uint64_t kInterimBytesMin = 100'000;
constexpr std::int64_t kFirstSeenWithinMs = 600 * kSecondMs;
constexpr std::int64_t kTourStepMs = 20;
constexpr std::int64_t kOwnEventTypesFrom = 10'001;  // Sluice's own: no platform sends them
constexpr std::uint64_t kSmsPriceE10 = 350'000'000;  // 0.035 euro

// What an endpoint does next.
enum class Step : std::uint8_t {
  Attach,
  AttachGprs,
  OpenSession,
  Use,
  MoveCell,
  LastUsage,
  CloseSession,
  QuotaThreshold,
  QuotaUsedUp,
  Sms,
  Purge,
  PurgeGprs,
};

struct EndpointState {
  explicit EndpointState(Random random_in) : random(random_in) {}

  Random random;
  Step step = Step::Attach;
  bool session_open = false;
  bool threshold_told = false;
  bool used_up_told = false;
  std::uint8_t refusals = 0;  // since the quota was used up
  std::uint8_t network = 0;   // index
  PdpSession session{};       // volumes: all that usage records have told
  std::int64_t session_end_ms = 0;
  std::int64_t usage_start_ms = 0;
  std::int64_t next_use_ms = 0;
  std::uint64_t rx_pending = 0;  // bytes that no usage record has told yet
  std::uint64_t tx_pending = 0;
  std::uint64_t quota_used = 0;
};

// Something happens to one endpoint, or (behind all endpoints) to one organisation.
struct Appointment {
  std::int64_t time_ms;
  std::uint32_t who;
  // For a heap with the earliest on top; `who` makes the order complete.
  friend bool operator<(const Appointment& a, const Appointment& b) {
    return a.time_ms != b.time_ms ? a.time_ms > b.time_ms : a.who > b.who;
  }
};

}  // namespace

class Fleet::Impl {
 public:
  explicit Impl(const FleetOptions& options);
  SimulatedRecord next();

 private:
  std::int64_t paced(std::int64_t ms) const;
  std::int64_t paced_between(Random& random, std::uint32_t low_s, std::uint32_t high_s) const;

  // One step of an endpoint's life. True: a record was written; `now_ms_` becomes its next time.
  bool live(std::uint32_t index);
  bool open_session();
  bool use();
  void last_usage();
  void close_session();
  void draw_usage();
  void after_session();
  std::optional<Step> quota_step() const;
  void go(Step step, std::int64_t wait_ms);

  void organisation_event(std::uint32_t index);
  void tour_event(std::int64_t type_id);
  void session_event(std::int64_t type_id, std::string_view description);
  void usage_record(std::uint32_t traffic_type);
  void write_event(std::int64_t type_id, const EventProfile& profile, std::string_view description,
                   std::string_view detail);
  void select(std::uint32_t index);
  template <class... T>
  std::string_view say(fmt::format_string<T...> format, T&&... arguments);

  const FleetOptions options_;
  std::uint64_t pace_ppm_;  // of the waits as they are in life
  RecordWriter writer_;
  JsonText detail_;
  JsonText session_id_;
  std::string description_;
  std::vector<Organisation> organisations_;
  std::vector<EndpointState> endpoints_;
  std::vector<Random> organisation_randoms_;
  std::vector<Appointment> heap_;
  std::vector<std::int64_t> tour_;  // types still to come, last first
  std::size_t tour_told_ = 0;
  std::uint64_t event_id_;
  std::uint64_t usage_id_;

  // Of the step under way.
  EndpointState* state_ = nullptr;
  const Organisation* organisation_ = nullptr;
  Subscriber subscriber_{};
  std::int64_t now_ms_ = 0;
  std::int64_t next_ms_ = 0;
  Kind kind_ = Kind::Event;
  std::string_view json_;
};

Fleet::Impl::Impl(const FleetOptions& options) : options_(options), writer_(options.dialect) {
  SLUICE_ASSERT(options.organisations > 0 && options.endpoints > 0);
  const std::uint64_t total = std::uint64_t{options.organisations} * options.endpoints;
  SLUICE_ASSERT(total <= kSubscribersMax);
  pace_ppm_ = options.records_per_second == 0
                  ? 1'000'000
                  : total * kRecordsPerEndpointHour * 1'000'000 / 3600 / options.records_per_second;
  // Ids start beyond 32 bits and stay below 2^53, so that no reader's JSON library rounds them.
  event_id_ = 10'000'000'000 * (1 + Random::of(options.seed, kIdKind, 0).below(400'000));
  usage_id_ = 10'000'000'000 * (1 + Random::of(options.seed, kIdKind, 1).below(400'000));

  for (std::uint32_t i = 0; i < options.organisations; ++i) {
    organisations_.push_back(make_organisation(options.seed, options.first_organisation_id + i, i));
    organisation_randoms_.push_back(Random::of(options.seed, kOrganisationLifeKind, i));
  }
  endpoints_.reserve(total);
  heap_.reserve(total + options.organisations);
  for (std::uint32_t i = 0; i < total; ++i) {
    EndpointState& state = endpoints_.emplace_back(Random::of(options.seed, kEndpointKind, i));
    state.network = static_cast<std::uint8_t>(
        state.random.below(static_cast<std::uint32_t>(networks().size())));
    const std::int64_t wait = paced(state.random.below(kFirstSeenWithinMs));
    heap_.push_back({options.start_ms + wait, i});
  }
  for (std::uint32_t i = 0; i < options.organisations; ++i) {
    const std::int64_t wait = paced_between(organisation_randoms_[i], 60, 3000);
    heap_.push_back({options.start_ms + wait, static_cast<std::uint32_t>(total + i)});
  }
  std::make_heap(heap_.begin(), heap_.end());

  if (options.all_types) {
    for (const catalogue::Entry& type : catalogue::event_types()) {
      if (type.id < kOwnEventTypesFrom) tour_.push_back(type.id);
    }
    std::reverse(tour_.begin(), tour_.end());
  }
}

std::int64_t Fleet::Impl::paced(std::int64_t ms) const {
  return std::max<std::int64_t>(1, ms * static_cast<std::int64_t>(pace_ppm_) / 1'000'000);
}

std::int64_t Fleet::Impl::paced_between(Random& random, std::uint32_t low_s,
                                        std::uint32_t high_s) const {
  return paced(random.between(low_s * 1000, high_s * 1000));
}

template <class... T>
std::string_view Fleet::Impl::say(fmt::format_string<T...> format, T&&... arguments) {
  description_.clear();
  fmt::format_to(std::back_inserter(description_), format, std::forward<T>(arguments)...);
  return description_;
}

SimulatedRecord Fleet::Impl::next() {
  for (;;) {
    const std::int64_t tour_ms =
        options_.start_ms + static_cast<std::int64_t>(tour_told_) * kTourStepMs;
    if (!tour_.empty() && tour_ms <= heap_.front().time_ms) {
      now_ms_ = tour_ms;
      const std::int64_t type_id = tour_.back();
      tour_.pop_back();
      tour_event(type_id);
      ++tour_told_;
      return {kind_, OrganisationId{organisation_->id}, now_ms_, json_};
    }
    std::pop_heap(heap_.begin(), heap_.end());
    Appointment& appointment = heap_.back();
    now_ms_ = appointment.time_ms;
    bool written = true;
    if (appointment.who < endpoints_.size()) {
      written = live(appointment.who);
    } else {
      organisation_event(appointment.who - static_cast<std::uint32_t>(endpoints_.size()));
    }
    appointment.time_ms = next_ms_;
    std::push_heap(heap_.begin(), heap_.end());
    if (written) return {kind_, OrganisationId{organisation_->id}, now_ms_, json_};
  }
}

void Fleet::Impl::select(std::uint32_t index) {
  state_ = &endpoints_[index];
  organisation_ = &organisations_[index / options_.endpoints];
  subscriber_ = make_subscriber(options_.seed, index, index % options_.endpoints + 1);
}

void Fleet::Impl::go(Step step, std::int64_t wait_ms) {
  state_->step = step;
  next_ms_ = now_ms_ + wait_ms;
}

bool Fleet::Impl::live(std::uint32_t index) {
  select(index);
  EndpointState& state = *state_;
  const Network& network = networks()[state.network];
  switch (state.step) {
    case Step::Attach:
      session_event(1,
                    say("IMSI {} attached to VLR {}", subscriber_.imsi, network.visited_register));
      go(Step::AttachGprs, paced(state.random.between(200, 900)));
      return true;
    case Step::AttachGprs:
      session_event(2, say("IMSI {} attached to SGSN {}1 of {}", subscriber_.imsi,
                           network.visited_register, network.name));
      go(Step::OpenSession, paced(state.random.between(300, 2000)));
      return true;
    case Step::OpenSession: return open_session();
    case Step::Use: return use();
    case Step::MoveCell:
      session_event(4, "Data session moved to another cell");
      go(Step::Use, std::max<std::int64_t>(1, state.next_use_ms - now_ms_));
      return true;
    case Step::LastUsage: last_usage(); return true;
    case Step::CloseSession: close_session(); return true;
    case Step::QuotaThreshold:
      state.threshold_told = true;
      session_event(
          18, say("Endpoint has used 80 % of its {} bytes", subscriber_.profile->quota_bytes));
      if (state.session_open) {
        go(Step::Use, std::max<std::int64_t>(1, state.next_use_ms - now_ms_));
      } else {
        after_session();
      }
      return true;
    case Step::QuotaUsedUp:
      state.used_up_told = true;
      session_event(19, "Endpoint has used up its data quota and is cut off");
      if (state.session_open) {
        go(Step::LastUsage, paced(60));
      } else {
        after_session();
      }
      return true;
    case Step::Sms:
      usage_record(kTrafficSms);
      go(Step::OpenSession, paced_between(state.random, 60, 600));
      return true;
    case Step::Purge:
      session_event(15, say("IMSI {} purged by {}", subscriber_.imsi, network.name));
      go(Step::PurgeGprs, paced(state.random.between(50, 400)));
      return true;
    case Step::PurgeGprs:
      session_event(16, say("IMSI {} purged by the SGSN of {}", subscriber_.imsi, network.name));
      state.network = static_cast<std::uint8_t>(
          state.random.below(static_cast<std::uint32_t>(networks().size())));
      go(Step::Attach, paced_between(state.random, 60, 600));
      return true;
  }
  return false;
}

bool Fleet::Impl::open_session() {
  EndpointState& state = *state_;
  if (state.used_up_told) {
    EventProfile refused{Severity::Warn, Source::PolicyControl, true, Subject::Endpoint};
    write_event(3, refused, "Data session refused: the data quota is used up", {});
    if (++state.refusals == 3) {  // a new quota begins
      state.refusals = 0;
      state.quota_used = 0;
      state.threshold_told = state.used_up_told = false;
    }
    go(Step::OpenSession, paced_between(state.random, 60, 600));
    return true;
  }
  const Profile& profile = *subscriber_.profile;
  state.session = {{state.random.next(), state.random.next()}, now_ms_, 0, 0};
  state.session_open = true;
  state.session_end_ms =
      now_ms_ + paced_between(state.random, profile.session_s_min, profile.session_s_max);
  state.usage_start_ms = now_ms_;
  session_event(3, "Data session opened, APN 'fleet.example'");
  state.next_use_ms = std::min(now_ms_ + paced(kInterimMs), state.session_end_ms);
  go(Step::Use, state.next_use_ms - now_ms_);
  return true;
}

void Fleet::Impl::draw_usage() {
  EndpointState& state = *state_;
  const Profile& profile = *subscriber_.profile;
  const std::uint32_t bytes = state.random.between(profile.bytes_min, profile.bytes_max);
  const std::uint32_t rx =
      static_cast<std::uint32_t>(std::uint64_t{bytes} * state.random.between(10, 60) / 100);
  state.rx_pending += rx;
  state.tx_pending += bytes - rx;
}

bool Fleet::Impl::use() {
  EndpointState& state = *state_;
  draw_usage();
  if (now_ms_ >= state.session_end_ms) {
    last_usage();
    return true;
  }
  bool written = false;
  if (state.rx_pending + state.tx_pending >= kInterimBytesMin) {
    usage_record(kTrafficData);
    written = true;
  }
  state.next_use_ms = std::min(now_ms_ + paced(kInterimMs), state.session_end_ms);
  const std::int64_t wait = state.next_use_ms - now_ms_;
  if (const auto step = quota_step()) {
    go(*step, std::min(paced(40), wait));
  } else if (state.random.chance(40)) {
    go(Step::MoveCell, std::max<std::int64_t>(1, wait * state.random.between(10, 90) / 100));
  } else {
    go(Step::Use, wait);
  }
  return written;
}

void Fleet::Impl::last_usage() {
  if (state_->rx_pending + state_->tx_pending == 0) state_->tx_pending = 60;  // the goodbye itself
  usage_record(kTrafficData);
  go(Step::CloseSession, paced(5));
}

void Fleet::Impl::close_session() {
  session_event(5, "Data session closed");
  state_->session_open = false;
  if (const auto step = quota_step()) {
    go(*step, paced(40));
  } else {
    after_session();
  }
}

void Fleet::Impl::after_session() {
  Random& random = state_->random;
  const std::uint32_t draw = random.below(100);
  const std::int64_t idle = paced_between(random, 120, 1200);
  if (draw < 15) {
    go(Step::Sms, paced_between(random, 5, 60));
  } else if (draw < 20) {
    go(Step::Purge, idle);
  } else if (draw < 45) {
    go(Step::Attach, idle);
  } else {
    go(Step::OpenSession, idle);
  }
}

std::optional<Step> Fleet::Impl::quota_step() const {
  const std::uint64_t quota = subscriber_.profile->quota_bytes;
  if (state_->quota_used >= quota && !state_->used_up_told) return Step::QuotaUsedUp;
  if (state_->quota_used >= quota / 10 * 8 && !state_->threshold_told) return Step::QuotaThreshold;
  return std::nullopt;
}

void Fleet::Impl::usage_record(std::uint32_t traffic_type) {
  EndpointState& state = *state_;
  const Network& network = networks()[state.network];
  usage_id_ += 1 + state.random.below(5);
  UsageFields fields{usage_id_, now_ms_, now_ms_, traffic_type, 0, 0, 0, &network, {}};
  if (traffic_type == kTrafficSms) {
    const bool from_device = state.random.chance(700);
    // The two vendors count the directions the other way round.
    const bool rx = from_device != (options_.dialect == Dialect::Nce);
    (rx ? fields.rx_e6 : fields.tx_e6) = 1'000'000;
    fields.cost_e10 = kSmsPriceE10;
  } else {
    fields.start_ms = state.usage_start_ms;
    fields.rx_e6 = state.rx_pending;
    fields.tx_e6 = state.tx_pending;
    fields.cost_e10 = (state.rx_pending + state.tx_pending) * network.price_e4;
    state.session.rx_bytes += state.rx_pending;
    state.session.tx_bytes += state.tx_pending;
    state.quota_used += state.rx_pending + state.tx_pending;
    state.rx_pending = state.tx_pending = 0;
    state.usage_start_ms = now_ms_;
    session_id_.clear();
    write_session_id(session_id_, state.session.id);
    fields.session_id = session_id_.view();
  }
  json_ = writer_.usage(fields, *organisation_, subscriber_);
  kind_ = Kind::Usage;
}

void Fleet::Impl::session_event(std::int64_t type_id, std::string_view description) {
  detail_.clear();
  write_detail(detail_, type_id,
               {options_.dialect, *organisation_, subscriber_, networks()[state_->network],
                state_->session, now_ms_});
  write_event(type_id, event_profile(type_id), description, detail_.view());
}

void Fleet::Impl::write_event(std::int64_t type_id, const EventProfile& profile,
                              std::string_view description, std::string_view detail) {
  event_id_ += 1 + state_->random.below(5);
  const auto name = catalogue::name_of(catalogue::event_types(), type_id);
  const EventFields fields{event_id_,
                           now_ms_,
                           type_id,
                           name.value_or("Unknown"),
                           profile.severity,
                           profile.source,
                           profile.alert,
                           description,
                           detail,
                           profile.subject == Subject::Endpoint ? &subscriber_ : nullptr,
                           profile.subject == Subject::User};
  json_ = writer_.event(fields, *organisation_);
  kind_ = Kind::Event;
}

void Fleet::Impl::organisation_event(std::uint32_t index) {
  select(index * options_.endpoints);  // any of its endpoints: the record does not name it
  Random& random = organisation_randoms_[index];
  if (random.chance(600)) {
    write_event(6, event_profile(6),
                say("Sign-in of '{}' refused: wrong password", organisation_->user_email), {});
  } else {
    write_event(7, event_profile(7), "Sign-in of an application refused: token expired", {});
  }
  next_ms_ = now_ms_ + paced_between(random, 600, 3000);
}

void Fleet::Impl::tour_event(std::int64_t type_id) {
  select(0);
  // Types 3, 4 and 5 of the tour tell one session, in which nothing is used.
  Random random = Random::of(options_.seed, kTourKind, 0);
  const PdpSession session{{random.next(), random.next()}, options_.start_ms, 0, 0};
  detail_.clear();
  write_detail(detail_, type_id,
               {options_.dialect, *organisation_, subscriber_, networks()[state_->network], session,
                now_ms_});
  const auto name = catalogue::name_of(catalogue::event_types(), type_id);
  write_event(type_id, event_profile(type_id),
              say("{}, told by the simulator", name.value_or("Unknown")), detail_.view());
}

Fleet::Fleet(const FleetOptions& options) : impl_(std::make_unique<Impl>(options)) {}
Fleet::~Fleet() = default;
Fleet::Fleet(Fleet&&) noexcept = default;
SimulatedRecord Fleet::next() { return impl_->next(); }

}  // namespace sluice::simulate
