#pragma once
// AMQP 0.9.1 as bytes, by librabbitmq's own encoder and decoder. Pure: nothing here connects.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct amqp_connection_state_t_;

namespace sluice::connectors::amqp {

// What a broker says. Contents of messages that it returns are left out.
struct Said {
  enum class Type : std::uint8_t {
    Start,
    Tune,
    OpenOk,
    ChannelOpenOk,
    ExchangeOk,  // it is there
    SelectOk,
    Ack,
    Nack,
    Returned,  // no queue takes the message; its Ack follows
    ChannelClose,
    ConnectionClose,
    Blocked,  // the broker takes nothing for now
    Unblocked,
  };
  Type type;
  std::uint64_t tag = 0;         // of Ack and Nack: the message's number on the channel, from 1
  bool multiple = false;         // and all before it
  std::uint32_t frame_max = 0;   // of Tune; 0: the broker sets none
  std::uint16_t code = 0;        // of Returned and the closes
  std::string text = {};         // of these and Blocked: the reason. Of Start: the mechanisms
  std::string routing_key = {};  // of Returned
};

class Reader {
 public:
  Reader();
  // Unavailable: what came is not AMQP 0.9.1.
  Result<std::vector<Said>> read(std::string_view bytes);

 private:
  struct Free {
    void operator()(amqp_connection_state_t_* state) const;
  };
  std::unique_ptr<amqp_connection_state_t_, Free> state_;
};

// Of ours, where the broker takes as much; each broker takes the other.
inline constexpr std::uint32_t kFrameBytesMax = 131'072;
inline constexpr std::uint32_t kFrameBytesMin = 4096;

std::string begin();
std::string start_ok(std::string_view username, std::string_view password);
std::string tune_ok(std::uint32_t frame_max);  // without heartbeats
std::string open(std::string_view vhost);
std::string open_channel();
std::string find_exchange(std::string_view name);
std::string select_confirms();

struct Publication {
  std::string_view exchange;
  std::string_view routing_key;
  std::string_view kind;  // the property "type"
  std::string_view message_id;
  std::string_view body;
};
// Adds a persistent, mandatory message of JSON.
void publish(std::string& out, const Publication& message, std::uint32_t frame_max);

}  // namespace sluice::connectors::amqp
