#include "connectors/common/aws/error.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>

#include "connectors/common/text.h"

namespace sluice::connectors::aws {
namespace {

using nlohmann::json;

// The codes by which AWS's own SDKs know throttling and errors that pass, whatever their status:
// AWS SDKs and Tools Reference Guide, "Retry behavior"; botocore, retries/standard.py. The last
// five are S3's for a body that was damaged or held up on its way, and for a write that met
// another (Amazon S3 API Reference, "Error responses"), and STS's where it cannot reach an ID
// token's issuer (AWS STS API Reference, AssumeRoleWithWebIdentity).
constexpr std::array<std::string_view, 27> kPassing = {"Throttling",
                                                       "ThrottlingException",
                                                       "ThrottledException",
                                                       "RequestThrottledException",
                                                       "RequestThrottled",
                                                       "TooManyRequestsException",
                                                       "ProvisionedThroughputExceededException",
                                                       "TransactionInProgressException",
                                                       "RequestLimitExceeded",
                                                       "BandwidthLimitExceeded",
                                                       "LimitExceededException",
                                                       "SlowDown",
                                                       "PriorRequestNotComplete",
                                                       "KMSThrottlingException",
                                                       "KmsThrottled",
                                                       "OverLimit",
                                                       "EC2ThrottledException",
                                                       "RequestTimeout",
                                                       "RequestTimeoutException",
                                                       "InternalError",
                                                       "InternalFailure",
                                                       "ServiceUnavailableException",
                                                       "BadDigest",
                                                       "XAmzContentSHA256Mismatch",
                                                       "IncompleteBody",
                                                       "OperationAborted",
                                                       "IDPCommunicationError"};

// Our clock is wrong (the same guide, "Common errors").
constexpr std::array<std::string_view, 3> kClock = {"RequestTimeTooSkewed", "RequestExpired",
                                                    "RequestInTheFuture"};

// Amazon S3 API Reference; Amazon SQS: BatchRequestTooLong.
constexpr std::array<std::string_view, 4> kTooLarge = {
    "EntityTooLarge", "RequestEntityTooLargeException", "BatchRequestTooLong",
    "AWS.SimpleQueueService.BatchRequestTooLong"};

constexpr std::array<std::string_view, 3> kExpired = {"ExpiredToken", "ExpiredTokenException",
                                                      "TokenRefreshRequired"};

constexpr int kContentTooLarge = 413;

template <std::size_t Size>
bool is_in(const std::array<std::string_view, Size>& list, std::string_view code) {
  return std::ranges::find(list, code) != list.end();
}

// "com.amazonaws.kinesis.v20131202#ResourceNotFoundException", "NoSuchKey:http://..."
std::string bare_code(std::string_view text) {
  text = text.substr(0, text.find(':'));
  return std::string(text.substr(text.find('#') + 1));
}

ServiceError read_xml(const std::string& body) {
  pugi::xml_document document;
  if (!document.load_buffer(body.data(), body.size())) return {};
  // The root, below ErrorResponse, or below Errors in that: each is in use.
  const pugi::xml_node error = document.find_node(
      [](const pugi::xml_node& node) { return std::string_view(node.name()) == "Error"; });
  return {error.child_value("Code"), error.child_value("Message")};
}

ServiceError read_json(const std::string& body) {
  const json document = json::parse(body, nullptr, /*allow_exceptions=*/false);
  const std::string message = text_of(document, "message");
  return {bare_code(text_of(document, "__type")),
          message.empty() ? text_of(document, "Message") : message};
}

}  // namespace

ServiceError read_error(const egress::HttpResponse& response) {
  ServiceError error =
      response.body.starts_with('<') ? read_xml(response.body) : read_json(response.body);
  if (!error.code.empty()) return error;
  for (const auto& [name, value] : response.headers) {
    if (same_name(name, "x-amzn-ErrorType")) error.code = bare_code(value);
  }
  return error;
}

bool is_expired(const ServiceError& error) { return is_in(kExpired, error.code); }

SendOutcome refused(int status, const ServiceError& error,
                    std::optional<std::chrono::milliseconds> retry_after, std::string reason) {
  const bool passes = status >= 500 || status == 408 || status == 429;
  if (is_in(kClock, error.code)) {
    reason += " (this server's clock is wrong, or the request took too long)";
    return {RetryLater{std::move(reason), retry_after, 0}, status, true, Fault::Us};
  }
  if (passes || is_in(kPassing, error.code)) {
    return {RetryLater{std::move(reason), retry_after, 0}, status, true};
  }
  if (status == kContentTooLarge || is_in(kTooLarge, error.code)) {
    return {Rejected{std::move(reason)}, kContentTooLarge, true};
  }
  return {Misconfigured{std::move(reason)}, status, true};
}

}  // namespace sluice::connectors::aws
