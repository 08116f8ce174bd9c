#include "connectors/webhook/outcome.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "connectors/common/failure.h"

namespace sluice::connectors::webhook {
namespace {

std::string_view phrase(int status) {
  switch (status) {
    case 200: return " OK";
    case 201: return " Created";
    case 202: return " Accepted";
    case 204: return " No Content";
    case 301: return " Moved Permanently";
    case 302: return " Found";
    case 303: return " See Other";
    case 307: return " Temporary Redirect";
    case 308: return " Permanent Redirect";
    case 400: return " Bad Request";
    case 401: return " Unauthorized";
    case 403: return " Forbidden";
    case 404: return " Not Found";
    case 405: return " Method Not Allowed";
    case 408: return " Request Timeout";
    case 410: return " Gone";
    case 413: return " Content Too Large";
    case 415: return " Unsupported Media Type";
    case 422: return " Unprocessable Content";
    case 425: return " Too Early";
    case 429: return " Too Many Requests";
    case 500: return " Internal Server Error";
    case 502: return " Bad Gateway";
    case 503: return " Service Unavailable";
    case 504: return " Gateway Timeout";
    default: return "";
  }
}

std::string describe(const egress::HttpResponse& response, const Config& config) {
  std::string sentence = fmt::format("the receiver answered {}{} to {} {}", response.status,
                                     phrase(response.status), config.method, config.shown_url);
  const std::string said = excerpt(response.body, config.secrets);
  if (said.find_first_not_of(' ') != said.npos) sentence += ": " + said;
  return sentence;
}

Decision decide(const egress::HttpResponse& response, const Config& config) {
  const int s = response.status;
  if (s >= 200 && s < 300) {
    if (s == 200 || !config.success_200_only) return Delivered{};
    return RetryLater{describe(response, config) + " (this stream takes 200 alone for success)",
                      response.retry_after, 0};
  }
  if (s == 408 || s == 425 || s == 429 || s >= 500) {
    return RetryLater{describe(response, config), response.retry_after, 0};
  }
  if (s == 400 || s == 413 || s == 422) return Rejected{describe(response, config)};
  if (s == 410) return Gone{describe(response, config)};
  return Misconfigured{describe(response, config)};  // 401, 403, 404, 405, any redirect
}

}  // namespace

SendOutcome classify(const egress::HttpResponse& response, const Config& config) {
  return {decide(response, config), response.status, true};
}

SendOutcome classify(const Error& error, Fault fault, const Config& config) {
  return failed(error, fault, fmt::format("{} {}", config.method, config.shown_url));
}

}  // namespace sluice::connectors::webhook
