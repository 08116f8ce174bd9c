#include "kafka/configuration.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <array>

#include "base/assert.h"
#include "egress/url.h"

namespace sluice::kafka {
namespace {

constexpr std::uint16_t kPort = 9092;
constexpr std::size_t kBrokersMax = 100;

void set(rd_kafka_conf_t* configuration, const char* name, const char* value) {
  std::array<char, 200> why;
  const auto done = rd_kafka_conf_set(configuration, name, value, why.data(), why.size());
  SLUICE_ASSERT(done == RD_KAFKA_CONF_OK);
}

}  // namespace

void ConfigurationFree::operator()(rd_kafka_conf_s* configuration) const {
  rd_kafka_conf_destroy(configuration);
}

Result<std::string> read_brokers(std::string_view text) {
  std::string brokers;
  for (std::size_t count = 1;; ++count) {
    const std::size_t comma = std::min(text.find(','), text.size());
    std::string_view one = text.substr(0, comma);
    while (one.starts_with(' ')) one.remove_prefix(1);
    while (one.ends_with(' ')) one.remove_suffix(1);
    const Result<egress::Url> url = egress::parse_host_and_port(one, kPort);
    if (!url.has_value() || count > kBrokersMax) {
      return Error{
          ErrorCode::InvalidArgument,
          fmt::format("must be up to {} host:port, separated by commas; of \"{}\": {}", kBrokersMax,
                      one, url.has_value() ? "is one more" : url.error().message)};
    }
    if (!brokers.empty()) brokers += ',';
    brokers += egress::host_and_port(url->host, url->port);
    if (comma == text.size()) return brokers;
    text.remove_prefix(comma + 1);
  }
}

Configuration make_configuration(const Cluster& cluster,
                                 std::initializer_list<std::pair<const char*, const char*>> more) {
  Configuration configuration(rd_kafka_conf_new());
  rd_kafka_conf_t* const conf = configuration.get();
  set(conf, "client.id", "sluice");
  set(conf, "client.software.name", "sluice");
  set(conf, "client.software.version", SLUICE_VERSION);
  set(conf, "bootstrap.servers", cluster.brokers.c_str());
  // TLS, where it is wanted, is the wire's.
  set(conf, "security.protocol", cluster.sasl_mechanism.empty() ? "plaintext" : "sasl_plaintext");
  if (!cluster.sasl_mechanism.empty()) {
    set(conf, "sasl.mechanism", cluster.sasl_mechanism.c_str());
    set(conf, "sasl.username", cluster.username.c_str());
    set(conf, "sasl.password", cluster.password.c_str());
  }
  set(conf, "reconnect.backoff.max.ms", "1000");
  rd_kafka_conf_set_log_cb(conf, nullptr);  // what goes wrong comes as an error, too
  for (const auto& [name, value] : more) set(conf, name, value);
  return configuration;
}

}  // namespace sluice::kafka
