#include "connectors/common/aws/error.h"

#include <gtest/gtest.h>

namespace sluice::connectors::aws {
namespace {

ServiceError read(std::string body, std::vector<std::pair<std::string, std::string>> headers = {}) {
  egress::HttpResponse response;
  response.body = std::move(body);
  response.headers = std::move(headers);
  return read_error(response);
}

TEST(AwsError, IsReadFromEveryFormInUse) {
  const ServiceError s3 = read(
      "<?xml version=\"1.0\"?>\n<Error><Code>NoSuchBucket</Code><Message>a &amp; "
      "b</Message></Error>");
  EXPECT_EQ(s3.code, "NoSuchBucket");
  EXPECT_EQ(s3.message, "a & b");
  EXPECT_EQ(
      read("<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>AccessDenied</Code></Error>"
           "</ErrorResponse>")
          .code,
      "AccessDenied");
  EXPECT_EQ(
      read("<ErrorResponse><Errors><Error><Code>C</Code></Error></Errors></ErrorResponse>").code,
      "C");
  const ServiceError json = read(
      R"({"__type":"com.amazonaws.kinesis.v20131202#ResourceNotFoundException","message":"m"})");
  EXPECT_EQ(json.code, "ResourceNotFoundException");
  EXPECT_EQ(json.message, "m");
  EXPECT_EQ(read(R"({"__type":"X","Message":"M"})").message, "M");
  EXPECT_EQ(read("", {{"x-amzn-errortype", "ThrottlingException:http://a/b"}}).code,
            "ThrottlingException");
}

TEST(AwsError, WhatIsNoDocumentHasNoCode) {
  for (const char* body : {"", "<", "<html><body>Error</body></html>", "{", "[]", "\"x\"",
                           R"({"__type":1,"message":{}})"}) {
    EXPECT_EQ(read(body).code, "") << body;
    EXPECT_EQ(read(body).message, "") << body;
  }
}

}  // namespace
}  // namespace sluice::connectors::aws
