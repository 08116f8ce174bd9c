#include "ingest/ingest.h"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <unordered_map>
#include <utility>

#include "base/mutex.h"
#include "base/units.h"
#include "ingest/body_reader.h"
#include "ingest/meters.h"
#include "ingest/request_head.h"

namespace sluice::ingest {

static_assert(http::Body::kPadding >= RecordParser::kPadding);

namespace {

using http::ErrorToken;

// What an I/O thread does itself; more goes to the workers, so that the thread's other clients and
// deliveries are not held up. Reading 4 MiB takes some 3 ms, unpacking 256 KiB one.
constexpr std::uint64_t kReadHereBytesMax = 4 * kMiB;
constexpr std::uint64_t kUnpackHereBytesMax = 256 * kKiB;
constexpr std::size_t kWorkers = 2;

http::Response accepted(std::uint64_t records) {
  return {.body = fmt::format("{{\"accepted\":{}}}", records)};
}

// A request on its way to the disk.
struct Pending {
  Kind kind;
  std::uint64_t records;
  std::uint64_t bytes;
  SteadyTime begun;
  http::Responder responder;
  std::shared_ptr<Meters> meters;

  void refuse(Refusal refusal) {
    meters->rejected(refusal.token);
    std::move(responder).send(answer(refusal));
  }

  void stored(const Result<void>& result) {
    if (result) {
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begun;
      meters->stored(kind, records, bytes, seconds.count());
      std::move(responder).send(accepted(records));
    } else if (result.error().code == ErrorCode::Cancelled) {
      refuse({ErrorToken::Stopping, "Sluice is stopping: send the request again."});
    } else {
      refuse({ErrorToken::StorageUnavailable,
              "The records could not be brought to disk: send the request again later."});
    }
  }
};

// What the log's views point into.
struct Payload {
  http::Body body;
  std::deque<std::string> rewritten;
};

// A request whose head is in order.
struct Request {
  Kind kind;
  HeadOptions options;
  std::optional<OrganisationId> token_organisation;
  bool token_bound;
  std::size_t io_thread;
  http::Body body;
  std::unique_ptr<Pending> pending;
};

// In place of the packed body comes the unpacked one, unless there is a refusal.
std::optional<Refusal> unpack_body(http::Body& body, Encoding encoding, std::uint64_t bytes_max) {
  const std::uint64_t leased = body.lease().bytes();
  auto result =
      unpack(encoding, body.view(), {.bytes_max = bytes_max, .reserve = [&](std::uint64_t bytes) {
                                       return body.lease().try_grow(bytes);
                                     }});
  if (auto* const refusal = std::get_if<Refusal>(&result)) {
    body.lease().shrink_to(leased);
    return std::move(*refusal);
  }
  Unpacked& unpacked = std::get<Unpacked>(result);
  http::BodyLease lease = std::move(body.lease());
  body = http::Body(std::move(unpacked.storage), unpacked.size);
  if (lease.bytes() > 0) lease.shrink_to(unpacked.capacity);
  body.lease() = std::move(lease);
  return std::nullopt;
}

// The workers' parsers: each has room for the largest record, so they are kept.
class Parsers {
 public:
  explicit Parsers(std::uint64_t record_bytes_max) : record_bytes_max_(record_bytes_max) {}

  std::unique_ptr<RecordParser> take() {
    {
      const MutexLock lock(mutex_);
      if (!idle_.empty()) {
        std::unique_ptr<RecordParser> parser = std::move(idle_.back());
        idle_.pop_back();
        return parser;
      }
    }
    return std::make_unique<RecordParser>(record_bytes_max_);
  }
  void put_back(std::unique_ptr<RecordParser> parser) {
    const MutexLock lock(mutex_);
    idle_.push_back(std::move(parser));
  }

 private:
  const std::uint64_t record_bytes_max_;
  Mutex mutex_;
  std::vector<std::unique_ptr<RecordParser>> idle_ SLUICE_GUARDED_BY(mutex_);
};

class Service final : public Ingest {
 public:
  Service(Settings settings, Dependencies dependencies,
          std::span<const catalog::Organisation> known)
      : settings_(std::move(settings)),
        dependencies_(dependencies),
        meters_(std::make_shared<Meters>(dependencies.metrics)),
        parsers_(settings_.record_bytes_max),
        workers_("ingest", kWorkers) {
    for (std::size_t i = 0; i < dependencies_.threads.size(); ++i) {
      threads_.push_back(std::make_unique<PerThread>(settings_.record_bytes_max));
      threads_.back()->remember(known);
    }
  }

  std::optional<http::Response> refuse(const http::RequestHead& head,
                                       const Identity& identity) const override {
    const auto options = read_head(head, identity, settings_);
    const Refusal* const refusal = std::get_if<Refusal>(&options);
    if (refusal == nullptr) return std::nullopt;
    meters_->rejected(refusal->token);
    return answer(*refusal);
  }

  void handle(const http::RequestHead& head, Kind kind, const Identity& identity, http::Body body,
              http::Responder responder) override {
    auto pending = std::make_unique<Pending>(
        Pending{kind, 0, 0, std::chrono::steady_clock::now(), std::move(responder), meters_});
    auto options = read_head(head, identity, settings_);
    if (auto* refusal = std::get_if<Refusal>(&options)) return pending->refuse(std::move(*refusal));
    Request request{.kind = kind,
                    .options = std::get<HeadOptions>(options),
                    .token_organisation = identity.organisation,
                    .token_bound = identity.bound(),
                    .io_thread = head.io_thread,
                    .body = std::move(body),
                    .pending = std::move(pending)};
    const bool is_plain =
        request.options.encoding == Encoding::Identity && request.body.size() <= kReadHereBytesMax;
    if (is_plain) {
      PerThread& thread = *threads_[request.io_thread];
      auto read = read_records(request, thread.parser);
      return store(std::move(request), std::move(read));
    }
    boost::asio::co_spawn(dependencies_.threads.loop(head.io_thread), process(std::move(request)),
                          boost::asio::detached);
  }

 private:
  // Touched on its I/O thread alone.
  struct PerThread {
    explicit PerThread(std::uint64_t record_bytes_max) : parser(record_bytes_max) {}

    std::vector<catalog::Organisation> unknown_among(
        std::vector<catalog::Organisation> organisations) const {
      std::erase_if(organisations, [this](const catalog::Organisation& organisation) {
        const auto found = is_named.find(organisation.id);
        return found != is_named.end() && (found->second || organisation.name.empty());
      });
      return organisations;
    }
    void remember(std::span<const catalog::Organisation> organisations) {
      for (const catalog::Organisation& organisation : organisations) {
        is_named[organisation.id] |= !organisation.name.empty();
      }
    }

    RecordParser parser;
    // The catalog's organisations as far as this thread knows: registering one again does no harm.
    std::unordered_map<OrganisationId, bool> is_named;
  };

  using Read = std::variant<Batch, Refusal>;

  Read read_records(Request& request, RecordParser& parser) const {
    return read_body({request.body.data(), request.body.size()},
                     {.kind = request.kind,
                      .framing = request.options.framing,
                      .requested = request.options.organisation,
                      .token = request.token_organisation,
                      .token_bound = request.token_bound,
                      .record_bytes_max = settings_.record_bytes_max,
                      .redact_tokens = settings_.redact_tokens},
                     parser);
  }

  // What an I/O thread should not do in one go. On the request's loop, but for what workers do.
  Awaitable<void> process(Request request) {
    if (request.options.encoding != Encoding::Identity) {
      std::optional<Refusal> refusal = co_await unpack_request(request);
      if (refusal) co_return request.pending->refuse(*std::move(refusal));
      meters_->unpacked(request.body.size());
    }
    if (request.body.size() <= kReadHereBytesMax) {
      auto read = read_records(request, threads_[request.io_thread]->parser);
      co_return store(std::move(request), std::move(read));
    }
    // Named, since GCC 12 destroys a closure twice that is a temporary of a co_await expression.
    auto work = [this, &request] {
      std::unique_ptr<RecordParser> parser = parsers_.take();
      Read read = read_records(request, *parser);
      parsers_.put_back(std::move(parser));
      return read;
    };
    Read read = co_await workers_.run(std::move(work));
    store(std::move(request), std::move(read));
  }

  // `request` outlives the awaitable.
  Awaitable<std::optional<Refusal>> unpack_request(Request& request) {
    const Encoding encoding = request.options.encoding;
    const std::uint64_t here_max = std::min(kUnpackHereBytesMax, settings_.body_bytes_max);
    if (request.body.size() <= here_max &&
        announced_size(encoding, request.body.view()) <= here_max) {
      std::optional<Refusal> refusal = unpack_body(request.body, encoding, here_max);
      const bool announced_too_little = refusal && refusal->token == ErrorToken::BodyTooLarge &&
                                        here_max < settings_.body_bytes_max;
      if (!announced_too_little) co_return refusal;
    }
    auto work = [&request, encoding, bytes_max = settings_.body_bytes_max] {
      return unpack_body(request.body, encoding, bytes_max);
    };
    co_return co_await workers_.run(std::move(work));
  }

  // On the request's I/O thread.
  void store(Request request, Read read) {
    std::unique_ptr<Pending> pending = std::move(request.pending);
    if (auto* refusal = std::get_if<Refusal>(&read)) return pending->refuse(std::move(*refusal));
    Batch& batch = std::get<Batch>(read);
    if (batch.records == 0) return std::move(pending->responder).send(accepted(0));

    pending->records = batch.records;
    pending->bytes = batch.bytes;
    recordlog::AppendRequest append_request{
        .groups = std::move(batch.groups),
        .payload = std::make_shared<Payload>(std::move(request.body), std::move(batch.rewritten))};
    PerThread& thread = *threads_[request.io_thread];
    // Whoever bound the token has registered its organisation.
    auto unknown = request.token_bound ? std::vector<catalog::Organisation>()
                                       : thread.unknown_among(std::move(batch.organisations));
    if (unknown.empty()) return append(std::move(append_request), std::move(pending));
    boost::asio::co_spawn(dependencies_.threads.loop(request.io_thread),
                          register_and_append(thread, std::move(unknown), std::move(append_request),
                                              std::move(pending)),
                          boost::asio::detached);
  }

  // `thread` outlives the loops' coroutines.
  Awaitable<void> register_and_append(PerThread& thread,
                                      std::vector<catalog::Organisation> organisations,
                                      recordlog::AppendRequest request,
                                      std::unique_ptr<Pending> pending) {
    // Named, since GCC 12 destroys a closure twice that is a temporary of a co_await expression.
    auto registration = [&catalog = dependencies_.catalog, organisations] {
      return catalog.register_organisations(organisations);
    };
    const Result<void> registered =
        co_await dependencies_.catalog_pool.run(std::move(registration));
    if (!registered) {
      pending->refuse({ErrorToken::StorageUnavailable,
                       "The records name a new organisation that could not be registered: send "
                       "the request again later."});
      co_return;
    }
    thread.remember(organisations);
    append(std::move(request), std::move(pending));
  }

  void append(recordlog::AppendRequest request, std::unique_ptr<Pending> pending) {
    dependencies_.log.append(std::move(request),
                             [pending = std::shared_ptr<Pending>(std::move(pending))](
                                 const Result<void>& result) { pending->stored(result); });
  }

  Settings settings_;
  Dependencies dependencies_;
  std::shared_ptr<Meters> meters_;
  std::vector<std::unique_ptr<PerThread>> threads_;  // in the order of the loops
  Parsers parsers_;
  WorkerPool workers_;  // the last: what it runs uses the others
};

}  // namespace

Result<std::unique_ptr<Ingest>> Ingest::open(Settings settings, Dependencies dependencies) {
  const Result<std::vector<catalog::Organisation>> known = dependencies.catalog.organisations();
  if (!known) return known.error();
  return std::unique_ptr<Ingest>(
      std::make_unique<Service>(std::move(settings), dependencies, *known));
}

}  // namespace sluice::ingest
