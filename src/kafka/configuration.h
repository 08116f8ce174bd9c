#pragma once
// How a cluster is spoken to, and librdkafka's configuration of it.

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "egress/http_client.h"

struct rd_kafka_conf_s;

namespace sluice::kafka {

struct Cluster {
  std::string brokers;  // "host:port,...", as read_brokers() gives them
  bool secure = false;  // TLS
  std::shared_ptr<egress::TlsContext> tls = nullptr;  // null: the server's
  std::string sasl_mechanism = {};  // "PLAIN", "SCRAM-SHA-256" or "SCRAM-SHA-512"; "" = none
  std::string username = {};
  std::string password = {};
};

// Of "host:port, host". InvalidArgument says what is wrong.
Result<std::string> read_brokers(std::string_view text);

struct ConfigurationFree {
  void operator()(rd_kafka_conf_s* configuration) const;
};
using Configuration = std::unique_ptr<rd_kafka_conf_s, ConfigurationFree>;

// `more`: what the client wants beside that.
Configuration make_configuration(const Cluster& cluster,
                                 std::initializer_list<std::pair<const char*, const char*>> more);

}  // namespace sluice::kafka
