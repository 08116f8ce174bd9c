#include "http/error_answer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

namespace sluice::http {
namespace {

TEST(ErrorAnswer, CodesAreTheStatusAndOneDigitAndNothingIsThereTwice) {
  std::set<int> codes;
  std::set<std::string_view> tokens;
  for (int i = 0; i <= static_cast<int>(ErrorToken::Overloaded); ++i) {
    const ErrorTokenInfo& row = info(static_cast<ErrorToken>(i));
    EXPECT_EQ(row.code / 10, row.status) << row.token;
    EXPECT_TRUE(row.status >= 400 && row.status < 600) << row.token;
    EXPECT_TRUE(codes.insert(row.code).second) << row.code;
    EXPECT_TRUE(tokens.insert(row.token).second) << row.token;
  }
}

TEST(ErrorAnswer, TokensAreSpelledLikeTheirEnumerators) {
  EXPECT_EQ(info(ErrorToken::MalformedRequest).token, "MalformedRequest");
  EXPECT_EQ(info(ErrorToken::Loop).token, "Loop");
  EXPECT_EQ(info(ErrorToken::InvalidRecord).token, "InvalidRecord");
  EXPECT_EQ(info(ErrorToken::InvalidRecord).code, 4221);
  EXPECT_EQ(info(ErrorToken::Overloaded).token, "Overloaded");
}

TEST(ErrorAnswer, BodyIsTheTripleWhateverTheMessageHolds) {
  const Response response = error_response(ErrorToken::BadQuery, "say \"x\"\n\xff");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_TRUE(response.headers.empty());
  EXPECT_EQ(response.body.rfind(R"({"error_code":4002,"error_token":"BadQuery","message":")", 0),
            0u);
  const auto json = nlohmann::json::parse(response.body);
  EXPECT_EQ(json.at("message"), "say \"x\"\n\xef\xbf\xbd");
  EXPECT_EQ(json.size(), 3u);
}

TEST(ErrorAnswer, WhatPassesSaysWhenToComeAgain) {
  for (const ErrorToken token :
       {ErrorToken::RateLimited, ErrorToken::TooManyTries, ErrorToken::StorageUnavailable,
        ErrorToken::Stopping, ErrorToken::Overloaded}) {
    const Response response = error_response(token, "m");
    ASSERT_EQ(response.headers.size(), 1u);
    EXPECT_EQ(response.headers[0].first, "Retry-After");
  }
}

TEST(ErrorAnswer, EachErrorCodeHasOneStatus) {
  const auto status = [](ErrorCode code) { return info(token_for(code)).status; };
  EXPECT_EQ(status(ErrorCode::InvalidArgument), 422);
  EXPECT_EQ(status(ErrorCode::NotFound), 404);
  EXPECT_EQ(status(ErrorCode::Conflict), 409);
  EXPECT_EQ(status(ErrorCode::ResourceExhausted), 503);
  EXPECT_EQ(status(ErrorCode::Timeout), 503);
  EXPECT_EQ(status(ErrorCode::Unavailable), 503);
  EXPECT_EQ(status(ErrorCode::Cancelled), 503);
  EXPECT_EQ(status(ErrorCode::Corruption), 503);
  EXPECT_EQ(status(ErrorCode::Io), 503);
  EXPECT_EQ(token_for(ErrorCode::Cancelled), ErrorToken::Stopping);
}

}  // namespace
}  // namespace sluice::http
