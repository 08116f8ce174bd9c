#include "connectors/amqp/frames.h"

#include <amqp.h>
#include <amqp_framing.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/assert.h"

namespace sluice::connectors::amqp {
namespace {

constexpr std::uint16_t kChannel = 1;
constexpr std::size_t kMethodBytesMax = 4096;  // names in it have at most 255 bytes, secrets 1 KiB
constexpr std::size_t kFrameExtraBytes = 8;    // header and end

constexpr std::uint8_t kOtherVersion = 'A';  // the decoder's mark of a protocol header

amqp_bytes_t bytes_of(std::string_view text) {
  return {text.size(), const_cast<char*>(text.data())};  // never written to
}

std::string text_of(amqp_bytes_t bytes) {
  return bytes.len == 0 ? "" : std::string(static_cast<const char*>(bytes.bytes), bytes.len);
}

template <class Integer>
void append_integer(std::string& out, Integer value) {
  for (int shift = (sizeof(value) - 1) * 8; shift >= 0; shift -= 8) {
    out += static_cast<char>(static_cast<std::uint64_t>(value) >> shift);
  }
}

void append_frame(std::string& out, std::uint8_t type, std::uint16_t channel,
                  std::string_view payload) {
  out += static_cast<char>(type);
  append_integer(out, channel);
  append_integer(out, static_cast<std::uint32_t>(payload.size()));
  out += payload;
  out += static_cast<char>(AMQP_FRAME_END);
}

template <class Method>
void append_method(std::string& out, std::uint16_t channel, amqp_method_number_t id,
                   Method method) {
  std::array<char, kMethodBytesMax> room;
  const int size = amqp_encode_method(id, &method, {room.size() - 4, room.data() + 4});
  SLUICE_ASSERT(size >= 0);
  std::string number;
  append_integer(number, id);
  std::ranges::copy(number, room.begin());
  append_frame(out, AMQP_FRAME_METHOD, channel, {room.data(), static_cast<std::size_t>(size) + 4});
}

template <class Method>
std::string method_frame(std::uint16_t channel, amqp_method_number_t id, const Method& method) {
  std::string out;
  append_method(out, channel, id, method);
  return out;
}

template <class Method>
const Method& as(const amqp_frame_t& frame) {
  return *static_cast<const Method*>(frame.payload.method.decoded);
}

template <class Method>
Said closed(Said::Type type, const amqp_frame_t& frame) {
  Said said{.type = type};
  said.code = as<Method>(frame).reply_code;
  said.text = text_of(as<Method>(frame).reply_text);
  return said;
}

std::optional<Said> said_in(const amqp_frame_t& frame) {
  if (frame.frame_type != AMQP_FRAME_METHOD) return std::nullopt;
  using Type = Said::Type;
  Said said{.type = Type::Start};
  switch (frame.payload.method.id) {
    case AMQP_CONNECTION_START_METHOD:
      said.text = text_of(as<amqp_connection_start_t>(frame).mechanisms);
      return said;
    case AMQP_CONNECTION_TUNE_METHOD:
      said.type = Type::Tune;
      said.frame_max = as<amqp_connection_tune_t>(frame).frame_max;
      return said;
    case AMQP_CONNECTION_OPEN_OK_METHOD: return Said{.type = Type::OpenOk};
    case AMQP_CHANNEL_OPEN_OK_METHOD: return Said{.type = Type::ChannelOpenOk};
    case AMQP_EXCHANGE_DECLARE_OK_METHOD: return Said{.type = Type::ExchangeOk};
    case AMQP_CONFIRM_SELECT_OK_METHOD: return Said{.type = Type::SelectOk};
    case AMQP_BASIC_ACK_METHOD:
      said.type = Type::Ack;
      said.tag = as<amqp_basic_ack_t>(frame).delivery_tag;
      said.multiple = as<amqp_basic_ack_t>(frame).multiple != 0;
      return said;
    case AMQP_BASIC_NACK_METHOD:
      said.type = Type::Nack;
      said.tag = as<amqp_basic_nack_t>(frame).delivery_tag;
      said.multiple = as<amqp_basic_nack_t>(frame).multiple != 0;
      return said;
    case AMQP_BASIC_RETURN_METHOD:
      said = closed<amqp_basic_return_t>(Type::Returned, frame);
      said.routing_key = text_of(as<amqp_basic_return_t>(frame).routing_key);
      return said;
    case AMQP_CHANNEL_CLOSE_METHOD: return closed<amqp_channel_close_t>(Type::ChannelClose, frame);
    case AMQP_CONNECTION_CLOSE_METHOD:
      return closed<amqp_connection_close_t>(Type::ConnectionClose, frame);
    case AMQP_CONNECTION_BLOCKED_METHOD:
      said.type = Type::Blocked;
      said.text = text_of(as<amqp_connection_blocked_t>(frame).reason);
      return said;
    case AMQP_CONNECTION_UNBLOCKED_METHOD: return Said{.type = Type::Unblocked};
    default: return std::nullopt;
  }
}

}  // namespace

void Reader::Free::operator()(amqp_connection_state_t_* state) const {
  amqp_destroy_connection(state);
}

Reader::Reader() : state_(amqp_new_connection()) { SLUICE_ASSERT(state_ != nullptr); }

Result<std::vector<Said>> Reader::read(std::string_view bytes) {
  std::vector<Said> all;
  while (!bytes.empty()) {
    amqp_frame_t frame{};
    const int used = amqp_handle_input(state_.get(), bytes_of(bytes), &frame);
    if (used < 0) {
      return Error{ErrorCode::Unavailable, fmt::format("what the broker said cannot be read: {}",
                                                       amqp_error_string2(used))};
    }
    bytes.remove_prefix(static_cast<std::size_t>(used));
    if (frame.frame_type == 0) continue;  // not whole yet
    if (frame.frame_type == kOtherVersion) {
      return Error{ErrorCode::Unavailable, "the broker does not speak AMQP 0.9.1"};
    }
    if (std::optional<Said> said = said_in(frame)) all.push_back(*std::move(said));
    amqp_maybe_release_buffers(state_.get());
  }
  return all;
}

std::string begin() { return {"AMQP\x00\x00\x09\x01", 8}; }

std::string start_ok(std::string_view username, std::string_view password) {
  const auto yes = [](const char* name) {
    amqp_table_entry_t entry{};
    entry.key = amqp_cstring_bytes(name);
    entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
    entry.value.value.boolean = 1;
    return entry;
  };
  const auto text = [](const char* name, const char* value) {
    amqp_table_entry_t entry{};
    entry.key = amqp_cstring_bytes(name);
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = amqp_cstring_bytes(value);
    return entry;
  };
  std::array<amqp_table_entry_t, 4> can = {yes("publisher_confirms"), yes("basic.nack"),
                                           yes("connection.blocked"),
                                           yes("authentication_failure_close")};
  amqp_table_entry_t capabilities{};
  capabilities.key = amqp_cstring_bytes("capabilities");
  capabilities.value.kind = AMQP_FIELD_KIND_TABLE;
  capabilities.value.value.table = {static_cast<int>(can.size()), can.data()};
  std::array<amqp_table_entry_t, 3> properties = {text("product", "Sluice"),
                                                  text("version", SLUICE_VERSION), capabilities};
  const std::string response = fmt::format("{0}{1}{0}{2}", '\0', username, password);
  amqp_connection_start_ok_t method{};
  method.client_properties = {static_cast<int>(properties.size()), properties.data()};
  method.mechanism = amqp_cstring_bytes("PLAIN");
  method.response = bytes_of(response);
  method.locale = amqp_cstring_bytes("en_US");
  return method_frame(0, AMQP_CONNECTION_START_OK_METHOD, method);
}

std::string tune_ok(std::uint32_t frame_max) {
  amqp_connection_tune_ok_t method{};
  method.channel_max = kChannel;
  method.frame_max = frame_max;
  return method_frame(0, AMQP_CONNECTION_TUNE_OK_METHOD, method);
}

std::string open(std::string_view vhost) {
  amqp_connection_open_t method{};
  method.virtual_host = bytes_of(vhost);
  return method_frame(0, AMQP_CONNECTION_OPEN_METHOD, method);
}

std::string open_channel() {
  return method_frame(kChannel, AMQP_CHANNEL_OPEN_METHOD, amqp_channel_open_t{});
}

std::string find_exchange(std::string_view name) {
  amqp_exchange_declare_t method{};
  method.exchange = bytes_of(name);
  method.type = amqp_cstring_bytes("direct");  // not looked at
  method.passive = 1;
  return method_frame(kChannel, AMQP_EXCHANGE_DECLARE_METHOD, method);
}

std::string select_confirms() {
  return method_frame(kChannel, AMQP_CONFIRM_SELECT_METHOD, amqp_confirm_select_t{});
}

void publish(std::string& out, const Publication& message, std::uint32_t frame_max) {
  amqp_basic_publish_t method{};
  method.exchange = bytes_of(message.exchange);
  method.routing_key = bytes_of(message.routing_key);
  method.mandatory = 1;
  append_method(out, kChannel, AMQP_BASIC_PUBLISH_METHOD, method);

  amqp_basic_properties_t properties{};
  properties._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_CONTENT_ENCODING_FLAG |
                      AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
                      AMQP_BASIC_TYPE_FLAG;
  properties.content_type = amqp_cstring_bytes("application/json");
  properties.content_encoding = amqp_cstring_bytes("utf-8");
  properties.delivery_mode = AMQP_DELIVERY_PERSISTENT;
  properties.message_id = bytes_of(message.message_id);
  properties.type = bytes_of(message.kind);
  std::array<char, kMethodBytesMax> room;
  const int size =
      amqp_encode_properties(AMQP_BASIC_CLASS, &properties, {room.size(), room.data()});
  SLUICE_ASSERT(size >= 0);
  std::string header;
  append_integer(header, static_cast<std::uint16_t>(AMQP_BASIC_CLASS));
  append_integer(header, std::uint16_t{0});  // weight: unused
  append_integer(header, static_cast<std::uint64_t>(message.body.size()));
  header.append(room.data(), static_cast<std::size_t>(size));
  append_frame(out, AMQP_FRAME_HEADER, kChannel, header);

  const std::size_t piece_max = frame_max - kFrameExtraBytes;
  for (std::size_t at = 0; at < message.body.size(); at += piece_max) {
    append_frame(out, AMQP_FRAME_BODY, kChannel, message.body.substr(at, piece_max));
  }
}

}  // namespace sluice::connectors::amqp
