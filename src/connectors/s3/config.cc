#include "connectors/s3/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "connectors/common/settings.h"
#include "connectors/common/text.h"

namespace sluice::connectors::s3 {
namespace {

// Amazon S3 User Guide, "Naming Amazon S3 objects": 1,024 bytes, less what the file's own name has.
constexpr std::size_t kPrefixBytesMax = 900;

// With a dot in it the bucket's host would match no certificate of AWS's.
bool is_host_label(std::string_view bucket) {
  return std::ranges::all_of(
      bucket, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

}  // namespace

Result<Config> read_config(const nlohmann::json& credentials) {
  Result<aws::Settings> settings = aws::read_settings(credentials);
  if (!settings.has_value()) return settings.error();
  Config config;
  config.aws = *std::move(settings);
  config.bucket = credentials.at("bucket_name").get<std::string>();
  config.prefix = credentials.value("prefix", "");
  config.gzip = credentials.value("compression", "") == "gzip";
  config.encryption = credentials.value("server_side_encryption", "");
  config.kms_key_id = credentials.value("kms_key_id", "");
  config.flush_size = credentials.value("flush_size", config.flush_size);
  config.rotate_interval = std::chrono::milliseconds(
      credentials.value("rotate_interval", config.rotate_interval.count()));
  if (config.prefix.size() > kPrefixBytesMax) {
    return wrong_setting("prefix", fmt::format("must be at most {} bytes long", kPrefixBytesMax));
  }
  if (!config.kms_key_id.empty() && config.encryption != "aws:kms") {
    return wrong_setting("kms_key_id", "goes with server_side_encryption aws:kms");
  }
  return config;
}

std::string object_url(const Config& config, std::string_view key) {
  const std::string path = percent_encoded(key, /*keep_slashes=*/true);
  if (config.aws.endpoint_url.empty() && is_host_label(config.bucket)) {
    return fmt::format("{}/{}", aws::endpoint_url(config.bucket + ".s3", config.aws.region, ""),
                       path);
  }
  return fmt::format("{}/{}/{}",
                     aws::endpoint_url("s3", config.aws.region, config.aws.endpoint_url),
                     percent_encoded(config.bucket), path);
}

}  // namespace sluice::connectors::s3
