#include "connectors/common/aws/signature.h"

#include <gtest/gtest.h>

#include <array>

#include "connectors/common/text.h"
#include "signing/body_digest.h"

namespace sluice::connectors::aws {
namespace {

constexpr WallTime kSuiteTime{1'440'938'160'000};  // 2015-08-30T12:36:00Z

std::string sha256(std::string_view body) {
  return signing::hex_digest(signing::Digest::Sha256, std::array{body});
}

std::string header(const egress::HttpRequest& request, std::string_view name) {
  for (const auto& [key, value] : request.headers) {
    if (key == name) return value;
  }
  return "";
}

std::string signature(const egress::HttpRequest& request) {
  const std::string text = header(request, "Authorization");
  return text.substr(text.rfind('=') + 1);
}

// The published aws-sig-v4-test-suite: its keys, its time, us-east-1, a service "service".
std::string suite_signature(std::string method, std::string target,
                            std::vector<std::pair<std::string, std::string>> headers = {},
                            std::string_view body = "", std::string token = "") {
  egress::HttpRequest request;
  request.method = std::move(method);
  request.url = "https://example.amazonaws.com" + target;
  request.headers = std::move(headers);
  sign(request, {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", std::move(token)},
       {"us-east-1", "service"}, kSuiteTime, sha256(body));
  return signature(request);
}

TEST(AwsSignature, FollowsThePublishedSuite) {
  EXPECT_EQ(suite_signature("GET", "/"),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
  EXPECT_EQ(suite_signature("GET", "/?Param2=value2&Param1=value1"),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
  EXPECT_EQ(
      suite_signature("GET", "/", {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}}),
      "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736");
  EXPECT_EQ(suite_signature("POST", "/"),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
  EXPECT_EQ(suite_signature("POST", "/", {{"Content-Type", "application/x-www-form-urlencoded"}},
                            "Param1=value1"),
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a");
}

// Amazon S3's documentation, "Signature calculations: examples": PUT Object.
TEST(AwsSignature, FollowsTheExampleOfS3) {
  egress::HttpRequest request;
  request.method = "PUT";
  request.url = "https://examplebucket.s3.amazonaws.com/" + percent_encoded("test$file.text");
  const std::string hash = sha256("Welcome to Amazon S3.");
  request.headers = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                     {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                     {"x-amz-content-sha256", hash}};
  sign(request, {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""},
       {"us-east-1", "s3"}, WallTime{1'369'353'600'000}, hash);
  EXPECT_EQ(header(request, "Authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class, "
            "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
  EXPECT_EQ(header(request, "X-Amz-Date"), "20130524T000000Z");
}

TEST(AwsSignature, ASessionTokenIsSignedAlong) {
  egress::HttpRequest request;
  request.url = "https://example.amazonaws.com/";
  sign(request, {"AKIDEXAMPLE", "secret", "token"}, {"us-east-1", "service"}, kSuiteTime,
       sha256(""));
  EXPECT_EQ(header(request, "X-Amz-Security-Token"), "token");
  EXPECT_NE(header(request, "Authorization").find("host;x-amz-date;x-amz-security-token,"),
            std::string::npos);
}

}  // namespace
}  // namespace sluice::connectors::aws
