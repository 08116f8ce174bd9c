#pragma once
// A record's envelope as JSON, in one of the shapes that the vendors' platforms send.

#include <cstdint>
#include <optional>
#include <string_view>

#include "simulate/json_text.h"
#include "simulate/world.h"

namespace sluice::simulate {

enum class Dialect : std::uint8_t {
  Emnify,   // the newer streams: times with zone and milliseconds, absent objects left out
  Classic,  // the older ones: blank in times, alert 0 or 1, `name` of a source, nulls
  Nce,      // 1NCE: seconds, every object present or null
};

// "emnify", "classic", "1nce".
std::optional<Dialect> dialect_from_name(std::string_view name);

TimeForm time_form(Dialect dialect);

enum class Severity : std::uint8_t { Info = 0, Warn = 1, Critical = 2 };
enum class Source : std::uint8_t { Network = 0, PolicyControl = 1, Api = 2 };

struct EventFields {
  std::uint64_t id;
  std::int64_t time_ms;
  std::int64_t type_id;
  std::string_view type_name;
  Severity severity;
  Source source;
  bool alert;
  std::string_view description;
  std::string_view detail;       // JSON; empty: none
  const Subscriber* subscriber;  // null: the event concerns none
  bool by_user;                  // an action of the organisation's user
};

struct UsageFields {
  std::uint64_t id;
  std::int64_t start_ms;
  std::int64_t end_ms;
  std::uint32_t traffic_type;  // 5 data, 6 SMS
  std::uint64_t rx_e6;         // millionths of a megabyte (bytes) or of an SMS
  std::uint64_t tx_e6;
  std::uint64_t cost_e10;
  const Network* network;
  std::string_view session_id;  // empty: none
};

inline constexpr std::uint32_t kTrafficData = 5;
inline constexpr std::uint32_t kTrafficSms = 6;

class RecordWriter {
 public:
  explicit RecordWriter(Dialect dialect) : dialect_(dialect), times_(time_form(dialect)) {}

  // The text stays valid until the next call.
  std::string_view event(const EventFields& fields, const Organisation& organisation);
  std::string_view usage(const UsageFields& fields, const Organisation& organisation,
                         const Subscriber& subscriber);

 private:
  void absent(std::string_view key);
  void event_subject(const EventFields& fields);
  void organisation_object(const Organisation& organisation);
  void sim_object(const Subscriber& subscriber, bool full);
  void endpoint_object(const Subscriber& subscriber, bool with_balance);

  Dialect dialect_;
  TimeForm times_;
  JsonText json_;
};

}  // namespace sluice::simulate
