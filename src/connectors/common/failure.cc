#include "connectors/common/failure.h"

#include <fmt/format.h>

namespace sluice::connectors {

SendOutcome failed(const Error& error, Fault fault, std::string_view request) {
  const std::string reason = fmt::format("{}: {}", request, error.message);
  switch (error.code) {
    case ErrorCode::InvalidArgument: return {Misconfigured{reason}, 500, false, fault};
    case ErrorCode::Timeout: return {RetryLater{reason, std::nullopt, 0}, 504, false, fault};
    case ErrorCode::Cancelled: return {RetryLater{reason, std::nullopt, 0}, 0, false, fault};
    default: return {RetryLater{reason, std::nullopt, 0}, 502, false, fault};
  }
}

}  // namespace sluice::connectors
