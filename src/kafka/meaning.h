#pragma once
// What librdkafka's error codes, its own and the brokers', mean for what was to be done. Pure.

#include <cstdint>
#include <string>

namespace sluice::kafka {

enum class Meaning : std::uint8_t {
  Done,
  Passes,    // later it may go
  TooLarge,  // the message, or those sent along with it
  Refused,   // likewise: the broker does not take what is in it
  Settings,  // credentials, permissions, the topic
};

Meaning meaning_of(int code);   // rd_kafka_resp_err_t
std::string text_of(int code);  // "Broker: Message size too large"

}  // namespace sluice::kafka
