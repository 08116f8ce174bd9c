#include "connectors/mqtt/packets.h"

#include "base/units.h"

namespace sluice::connectors::mqtt {
namespace {

constexpr std::uint8_t kConnect = 0x10;
constexpr std::uint8_t kConnAck = 0x20;
constexpr std::uint8_t kPublishQos1 = 0x32;
constexpr std::uint8_t kPubAck = 0x40;
constexpr std::uint8_t kDisconnect = 0xe0;
constexpr std::size_t kHeardBytesMax = 64 * kKiB;
constexpr int kLengthBytesMax = 4;

void put16(std::string& out, std::uint32_t value) {
  out += static_cast<char>(value >> 8);
  out += static_cast<char>(value);
}

void put_text(std::string& out, std::string_view text) {
  put16(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

void put_length(std::string& out, std::size_t length) {
  do {
    const auto low = static_cast<std::uint8_t>(length & 0x7f);
    length >>= 7;
    out += static_cast<char>(length > 0 ? low | 0x80 : low);
  } while (length > 0);
}

std::size_t length_bytes(std::size_t length) {
  std::size_t bytes = 1;
  while (length >>= 7) ++bytes;
  return bytes;
}

// What is behind the fixed header.
std::size_t body_bytes(const Publication& message) {
  const std::size_t properties = message.version == Version::V5 ? 1 : 0;
  return 2 + message.topic.size() + 2 + properties + message.body.size();
}

// Takes bytes from the front; after what is not there everything is 0 and bad() true.
class Cutter {
 public:
  explicit Cutter(std::string_view bytes) : bytes_(bytes) {}

  bool bad() const { return bad_; }
  bool empty() const { return bytes_.empty(); }
  std::string_view take(std::size_t count) {
    bad_ = bad_ || count > bytes_.size();
    if (bad_) return {};
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }
  std::uint32_t number(std::size_t bytes) {
    std::uint32_t value = 0;
    for (const char byte : take(bytes)) value = value << 8 | static_cast<unsigned char>(byte);
    return value;
  }
  std::uint32_t length() {
    std::uint32_t value = 0;
    for (int i = 0; i < kLengthBytesMax; ++i) {
      const std::uint32_t byte = number(1);
      value |= (byte & 0x7f) << (7 * i);
      if ((byte & 0x80) == 0) return value;
    }
    bad_ = true;
    return 0;
  }
  std::string_view text() { return take(number(2)); }

 private:
  std::string_view bytes_;
  bool bad_ = false;
};

// Section 2.2.2.2. False: it is none that a broker sends here.
bool read_property(Cutter& from, Heard& heard) {
  switch (from.length()) {
    case 0x1f: heard.text = from.text(); return true;
    case 0x21: heard.unacknowledged_max = static_cast<std::uint16_t>(from.number(2)); return true;
    case 0x24: heard.qos_max = static_cast<std::uint8_t>(from.number(1)); return true;
    case 0x27: heard.packet_bytes_max = from.number(4); return true;
    case 0x11: from.number(4); return true;  // session expiry
    case 0x13:                               // server keep-alive
    case 0x22: from.number(2); return true;  // topic alias maximum
    case 0x25:                               // retain, wildcard, identifiers, shared
    case 0x28:
    case 0x29:
    case 0x2a: from.number(1); return true;
    case 0x12:  // assigned client id
    case 0x15:  // authentication method and data
    case 0x16:
    case 0x1a:                            // response information
    case 0x1c: from.text(); return true;  // another server
    case 0x26:                            // user property
      from.text();
      from.text();
      return true;
    default: return false;
  }
}

bool read_properties(Cutter& from, Heard& heard) {
  if (from.empty()) return true;  // left out
  Cutter properties(from.take(from.length()));
  while (!properties.empty() && !properties.bad()) {
    if (!read_property(properties, heard)) return false;
  }
  return !properties.bad();
}

}  // namespace

std::string connect(const Login& login) {
  std::string body;
  put_text(body, "MQTT");
  body += static_cast<char>(login.version);
  constexpr int kCleanSession = 0x02;
  constexpr int kPassword = 0x40;
  constexpr int kUserName = 0x80;
  body += static_cast<char>(kCleanSession | (login.username.empty() ? 0 : kUserName) |
                            (login.password.empty() ? 0 : kPassword));
  put16(body, 0);                                  // keep-alive
  if (login.version == Version::V5) body += '\0';  // no properties
  put_text(body, login.client_id);
  if (!login.username.empty()) put_text(body, login.username);
  if (!login.password.empty()) put_text(body, login.password);
  std::string packet(1, static_cast<char>(kConnect));
  put_length(packet, body.size());
  return packet + body;
}

void publish(std::string& out, const Publication& message) {
  out += static_cast<char>(kPublishQos1);
  put_length(out, body_bytes(message));
  put_text(out, message.topic);
  put16(out, message.id);
  if (message.version == Version::V5) out += '\0';  // no properties
  out += message.body;
}

std::size_t publish_bytes(const Publication& message) {
  const std::size_t body = body_bytes(message);
  return 1 + length_bytes(body) + body;
}

std::optional<Heard> Reader::packet(std::uint8_t type, std::string_view body) const {
  Cutter from(body);
  Heard heard;
  bool whole = true;
  switch (type) {
    case kConnAck:
      heard.type = Heard::Type::ConnAck;
      from.number(1);  // session present
      heard.reason = static_cast<std::uint8_t>(from.number(1));
      whole = version_ == Version::V311 || read_properties(from, heard);
      break;
    case kPubAck:
      heard.type = Heard::Type::PubAck;
      heard.id = static_cast<std::uint16_t>(from.number(2));
      if (version_ == Version::V311 || from.empty()) break;
      heard.reason = static_cast<std::uint8_t>(from.number(1));
      whole = read_properties(from, heard);
      break;
    case kDisconnect:
      heard.type = Heard::Type::Disconnect;
      if (from.empty()) break;
      heard.reason = static_cast<std::uint8_t>(from.number(1));
      whole = read_properties(from, heard);
      break;
    default: return std::nullopt;
  }
  if (!whole || from.bad()) return std::nullopt;
  return heard;
}

Result<std::vector<Heard>> Reader::read(std::string_view bytes) {
  begun_ += bytes;
  std::string_view rest = begun_;
  std::vector<Heard> all;
  const auto nonsense = [] {
    return Error{ErrorCode::Unavailable, "what the broker said is not MQTT"};
  };
  while (rest.size() >= 2) {
    const auto type = static_cast<std::uint8_t>(rest.front());
    if (type != kConnAck && type != kPubAck && type != kDisconnect) return nonsense();
    std::size_t head = 1;
    while (head < rest.size() && head <= kLengthBytesMax && (rest[head] & 0x80) != 0) ++head;
    if (head > kLengthBytesMax) return nonsense();
    if (head == rest.size()) break;
    const std::size_t length = Cutter(rest.substr(1, head)).length();
    if (length > kHeardBytesMax) return nonsense();
    if (rest.size() < head + 1 + length) break;
    std::optional<Heard> heard = packet(type, rest.substr(head + 1, length));
    if (!heard) return nonsense();
    all.push_back(*std::move(heard));
    rest.remove_prefix(head + 1 + length);
  }
  begun_.erase(0, begun_.size() - rest.size());
  return all;
}

}  // namespace sluice::connectors::mqtt
