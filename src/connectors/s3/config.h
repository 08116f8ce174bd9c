#pragma once
// An S3 destination's settings.

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "connectors/common/aws/settings.h"

namespace sluice::connectors::s3 {

enum class Format : std::uint8_t { Csv, Lines };

struct Config {
  aws::Settings aws;
  std::string bucket;
  std::string prefix;  // of every key, as it is
  Format format = Format::Csv;
  bool gzip = false;
  std::string encryption;  // what x-amz-server-side-encryption says; "" = the bucket's own
  std::string kms_key_id;
  std::uint32_t flush_size = 10'000;
  std::chrono::milliseconds rotate_interval{10'000};
};

// `credentials` has passed the schema. InvalidArgument names the property.
Result<Config> read_config(const nlohmann::json& credentials);

// Where an object lies: the bucket's own host, or behind the bucket's name as a path where that is
// no host name or another endpoint is given. `config` is usable.
std::string object_url(const Config& config, std::string_view key);

}  // namespace sluice::connectors::s3
