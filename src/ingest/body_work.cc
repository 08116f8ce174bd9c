#include "ingest/body_work.h"

#include <algorithm>

namespace sluice::ingest {
namespace {

std::optional<Refusal> unpack_body(Encoding encoding, http::Body& body, std::uint64_t bytes_max) {
  http::BodyLease& lease = body.lease();
  const std::uint64_t packed_bytes = lease.bytes();
  const auto reserve = [&lease](std::uint64_t bytes) { return lease.try_grow(bytes); };
  auto result = ingest::unpack(encoding, body.view(), {.bytes_max = bytes_max, .reserve = reserve});
  if (auto* const refusal = std::get_if<Refusal>(&result)) {
    lease.shrink_to(packed_bytes);
    return std::move(*refusal);
  }
  Unpacked& unpacked = std::get<Unpacked>(result);
  http::BodyLease kept = std::move(lease);
  body = http::Body(std::move(unpacked.storage), unpacked.size);
  kept.shrink_to(std::min(kept.bytes(), unpacked.capacity));
  body.lease() = std::move(kept);
  return std::nullopt;
}

}  // namespace

Awaitable<std::optional<Refusal>> BodyWork::unpack(Encoding encoding, http::Body& body) {
  const std::uint64_t here_max = std::min(kUnpackHereBytesMax, limits_.body_bytes_max);
  if (body.size() <= here_max && announced_size(encoding, body.view()) <= here_max) {
    std::optional<Refusal> refusal = unpack_body(encoding, body, here_max);
    const bool announced_too_little = refusal && refusal->token == http::ErrorToken::BodyTooLarge &&
                                      here_max < limits_.body_bytes_max;
    if (!announced_too_little) co_return refusal;
  }
  // Named, since GCC 12 destroys a closure twice that is a temporary of a co_await expression.
  auto work = [encoding, &body, bytes_max = limits_.body_bytes_max] {
    return unpack_body(encoding, body, bytes_max);
  };
  co_return co_await workers_.run(std::move(work));
}

Awaitable<Hash> BodyWork::hash(const http::Body& body, const BodyContext& context) {
  if (body.size() <= kHashHereBytesMax) co_return hash_of_body(body.view(), context);
  auto work = [&body, &context] { return hash_of_body(body.view(), context); };
  co_return co_await workers_.run(std::move(work));
}

Awaitable<ReadResult> BodyWork::read(http::Body& body, const ReadOptions& options,
                                     RecordParser& here) {
  if (body.size() <= kReadHereBytesMax) {
    co_return read_body({body.data(), body.size()}, options, here);
  }
  auto work = [this, &body, &options] {
    std::unique_ptr<RecordParser> parser = take_parser();
    ReadResult result = read_body({body.data(), body.size()}, options, *parser);
    put_back(std::move(parser));
    return result;
  };
  co_return co_await workers_.run(std::move(work));
}

std::unique_ptr<RecordParser> BodyWork::take_parser() {
  {
    const MutexLock lock(mutex_);
    if (!idle_parsers_.empty()) {
      std::unique_ptr<RecordParser> parser = std::move(idle_parsers_.back());
      idle_parsers_.pop_back();
      return parser;
    }
  }
  return std::make_unique<RecordParser>(limits_.record_bytes_max);
}

void BodyWork::put_back(std::unique_ptr<RecordParser> parser) {
  const MutexLock lock(mutex_);
  idle_parsers_.push_back(std::move(parser));
}

}  // namespace sluice::ingest
