#include "connectors/common/failure.h"

#include <fmt/format.h>

#include "connectors/exchange.h"

namespace sluice::connectors {
namespace {

constexpr std::size_t kExcerptBytesMax = 200;

class UnusableConnector final : public Connector {
 public:
  explicit UnusableConnector(Error error) : error_(std::move(error)) {}

  Awaitable<SendOutcome> send(const RecordBatch&, Deadline) override {
    co_return SendOutcome{Misconfigured{error_.message}, 500, false};
  }
  Awaitable<Result<void>> check(Deadline) override { co_return error_; }

 private:
  const Error error_;
};

}  // namespace

SendOutcome failed(const Error& error, Fault fault, std::string_view request) {
  const std::string reason = fmt::format("{}: {}", request, error.message);
  switch (error.code) {
    case ErrorCode::InvalidArgument: return {Misconfigured{reason}, 500, false, fault};
    case ErrorCode::Timeout: return {RetryLater{reason, std::nullopt, 0}, 504, false, fault};
    case ErrorCode::Cancelled: return {RetryLater{reason, std::nullopt, 0}, 0, false, fault};
    default: return {RetryLater{reason, std::nullopt, 0}, 502, false, fault};
  }
}

// Masked first, so that no secret is cut in half and shown.
std::string excerpt(std::string body, const std::vector<std::string>& secrets) {
  mask(body, secrets);
  std::string printable;
  for (const char c : body) {
    if (printable.size() == kExcerptBytesMax) return printable + " ...";
    const bool plain = c > ' ' && c < 0x7f;
    const char shown = plain ? c : (c == ' ' || (c >= '\t' && c <= '\r')) ? ' ' : '?';
    const bool repeats = !plain && !printable.empty() && printable.back() == shown;
    if (!repeats) printable += shown;
  }
  return printable;
}

std::unique_ptr<Connector> make_unusable(Error error) {
  return std::make_unique<UnusableConnector>(std::move(error));
}

}  // namespace sluice::connectors
