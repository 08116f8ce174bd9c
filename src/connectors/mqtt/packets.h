#pragma once
// MQTT 3.1.1 and 5 as bytes: what a client needs that only publishes, with QoS 1. Pure.
// https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::connectors::mqtt {

enum class Version : std::uint8_t { V311 = 4, V5 = 5 };

struct Login {
  Version version = Version::V5;
  std::string client_id;
  std::string username;  // "" = none
  std::string password;  // "" = none
};

// A clean session without keep-alive.
std::string connect(const Login& login);

struct Publication {
  Version version = Version::V5;
  std::string_view topic;
  std::uint16_t id = 0;  // not 0
  std::string_view body;
};
void publish(std::string& out, const Publication& message);
std::size_t publish_bytes(const Publication& message);

// What a broker says.
struct Heard {
  enum class Type : std::uint8_t { ConnAck, PubAck, Disconnect };
  Type type = Type::ConnAck;
  std::uint8_t reason = 0;  // code: of a ConnAck of 3.1.1 its return code
  std::uint16_t id = 0;     // of PubAck
  std::string text = {};    // the broker's own, if it gives one
  // Of ConnAck: what the broker takes.
  std::uint16_t unacknowledged_max = 65'535;
  std::uint32_t packet_bytes_max = 0xffff'ffff;
  std::uint8_t qos_max = 2;
};

class Reader {
 public:
  explicit Reader(Version version) : version_(version) {}
  // Unavailable: what came is not MQTT, or nothing that a client should get that only publishes.
  Result<std::vector<Heard>> read(std::string_view bytes);

 private:
  std::optional<Heard> packet(std::uint8_t type, std::string_view body) const;

  Version version_;
  std::string begun_;  // of a packet that is not whole yet
};

}  // namespace sluice::connectors::mqtt
