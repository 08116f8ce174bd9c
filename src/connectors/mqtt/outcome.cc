#include "connectors/mqtt/outcome.h"

#include <fmt/format.h>

#include "connectors/common/failure.h"

namespace sluice::connectors::mqtt {
namespace {

enum class Means : std::uint8_t { Passes, Settings, TooLarge, Refused };

struct Row {
  std::uint8_t code;
  std::string_view name;
  Means means;
};

// 3.1.1, section 3.2.2.3.
constexpr Row kReturnCodes[] = {
    {1, "this version of the protocol is not taken: try the other", Means::Settings},
    {2, "client id refused", Means::Settings},
    {3, "server unavailable", Means::Passes},
    {4, "bad user name or password", Means::Settings},
    {5, "not authorised", Means::Settings},
};

// 5, section 2.4; those that are not here pass.
constexpr Row kReasonCodes[] = {
    {0x81, "malformed packet", Means::Passes},
    {0x82, "protocol error", Means::Passes},
    {0x84, "this version of the protocol is not taken: try the other", Means::Settings},
    {0x85, "client id refused", Means::Settings},
    {0x86, "bad user name or password", Means::Settings},
    {0x87, "not authorised", Means::Settings},
    {0x88, "server unavailable", Means::Passes},
    {0x89, "server busy", Means::Passes},
    {0x8a, "banned", Means::Settings},
    {0x8b, "server shutting down", Means::Passes},
    {0x8c, "bad authentication method", Means::Settings},
    {0x8e, "session taken over", Means::Passes},
    {0x90, "topic name invalid", Means::Settings},
    {0x95, "packet too large", Means::TooLarge},
    {0x96, "message rate too high", Means::Passes},
    {0x97, "quota exceeded", Means::Passes},
    {0x98, "administrative action", Means::Passes},
    {0x99, "payload format invalid", Means::Refused},
    {0x9b, "QoS not supported", Means::Settings},
    {0x9c, "use another server", Means::Settings},
    {0x9d, "server moved", Means::Settings},
    {0x9f, "connection rate exceeded", Means::Passes},
};

Row row_of(const Heard& heard, Version version) {
  // A broker of 3.1.1 answers a client of 5 in its own words, too.
  const bool short_code = version == Version::V311 || heard.reason < 0x80;
  if (heard.type == Heard::Type::ConnAck && short_code) {
    for (const Row& row : kReturnCodes) {
      if (row.code == heard.reason) return row;
    }
  }
  for (const Row& row : kReasonCodes) {
    if (row.code == heard.reason) return row;
  }
  return {heard.reason, "refused", Means::Passes};
}

}  // namespace

bool is_failure(const Heard& heard, Version version) {
  switch (heard.type) {
    case Heard::Type::Disconnect: return true;
    case Heard::Type::ConnAck: return heard.reason != 0;
    case Heard::Type::PubAck: return version == Version::V5 && heard.reason >= 0x80;
  }
  return true;
}

SendOutcome classify(const Heard& heard, Version version, std::uint32_t confirmed,
                     std::string_view broker, const std::string& password) {
  const Row row = row_of(heard, version);
  std::string reason = fmt::format("{}: {:#04x} {}", broker, row.code, row.name);
  if (!heard.text.empty()) reason += ": " + excerpt(heard.text, {password});
  const bool of_record = heard.type == Heard::Type::PubAck;
  if (of_record) reason += fmt::format(" (record {})", confirmed + 1);
  switch (row.means) {
    case Means::Settings: return {Misconfigured{std::move(reason)}, 500, true};
    case Means::Passes: return {RetryLater{std::move(reason), {}, confirmed}, 503, true};
    case Means::TooLarge:
    case Means::Refused: break;
  }
  const int status = row.means == Means::TooLarge ? 413 : 422;
  if (of_record) return {Rejected{std::move(reason), confirmed}, status, true};
  return {Rejected{std::move(reason), {}}, status, true};
}

}  // namespace sluice::connectors::mqtt
