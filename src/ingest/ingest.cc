#include "ingest/ingest.h"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <unordered_map>
#include <utility>

#include "ingest/body_reader.h"
#include "ingest/request_head.h"

namespace sluice::ingest {

static_assert(http::Body::kPadding >= RecordParser::kPadding);

namespace {

using http::ErrorToken;

// Shared with answers under way, which may outlive the Ingest.
class Meters {
 public:
  explicit Meters(Metrics& metrics)
      : usage_(records(metrics, Kind::Usage)),
        events_(records(metrics, Kind::Event)),
        bytes_(metrics.counter("sluice_ingest_bytes_total", "Bytes of the records stored")),
        seconds_(metrics.histogram_s("sluice_ingest_seconds",
                                     "From a request's last byte to its acknowledgement")) {
    for (const ErrorToken token :
         {ErrorToken::BadQuery, ErrorToken::BodyTooLarge, ErrorToken::Forbidden,
          ErrorToken::InvalidRecord, ErrorToken::Loop, ErrorToken::MalformedBody,
          ErrorToken::RecordTooLarge, ErrorToken::StorageUnavailable, ErrorToken::Stopping,
          ErrorToken::UnsupportedEncoding, ErrorToken::UnsupportedMediaType}) {
      rejected_.emplace(token, metrics.counter("sluice_ingest_rejected_requests_total",
                                               "Requests of which nothing was acknowledged",
                                               {{"reason", std::string(http::info(token).token)}}));
    }
  }

  void stored(Kind kind, std::uint64_t records, std::uint64_t bytes, double seconds) {
    (kind == Kind::Usage ? usage_ : events_).add(static_cast<double>(records));
    bytes_.add(static_cast<double>(bytes));
    seconds_.observe(seconds);
  }
  void rejected(ErrorToken token) { rejected_.at(token).add(); }

 private:
  static Counter records(Metrics& metrics, Kind kind) {
    return metrics.counter("sluice_ingest_records_total", "Records stored",
                           {{"kind", std::string(path_name(kind))}});
  }

  Counter usage_;
  Counter events_;
  Counter bytes_;
  Histogram seconds_;
  std::unordered_map<ErrorToken, Counter> rejected_;
};

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

class Service final : public Ingest {
 public:
  Service(Settings settings, Dependencies dependencies,
          std::span<const catalog::Organisation> known)
      : settings_(std::move(settings)),
        dependencies_(dependencies),
        meters_(std::make_shared<Meters>(dependencies.metrics)) {
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
    const auto& [framing, requested] = std::get<HeadOptions>(options);

    PerThread& thread = *threads_[head.io_thread];
    auto read = read_body({body.data(), body.size()},
                          {.kind = kind,
                           .framing = framing,
                           .requested = requested,
                           .token = identity.organisation,
                           .token_bound = identity.bound(),
                           .record_bytes_max = settings_.record_bytes_max,
                           .redact_tokens = settings_.redact_tokens},
                          thread.parser);
    if (auto* refusal = std::get_if<Refusal>(&read)) return pending->refuse(std::move(*refusal));
    Batch& batch = std::get<Batch>(read);
    if (batch.records == 0) return std::move(pending->responder).send(accepted(0));

    pending->records = batch.records;
    pending->bytes = batch.bytes;
    recordlog::AppendRequest request{
        .groups = std::move(batch.groups),
        .payload = std::make_shared<Payload>(std::move(body), std::move(batch.rewritten))};
    // Whoever bound the token has registered its organisation.
    auto unknown = identity.bound() ? std::vector<catalog::Organisation>()
                                    : thread.unknown_among(std::move(batch.organisations));
    if (unknown.empty()) return append(std::move(request), std::move(pending));
    boost::asio::co_spawn(
        dependencies_.threads.loop(head.io_thread),
        register_and_append(thread, std::move(unknown), std::move(request), std::move(pending)),
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
};

}  // namespace

Result<std::unique_ptr<Ingest>> Ingest::open(Settings settings, Dependencies dependencies) {
  const Result<std::vector<catalog::Organisation>> known = dependencies.catalog.organisations();
  if (!known) return known.error();
  return std::unique_ptr<Ingest>(
      std::make_unique<Service>(std::move(settings), dependencies, *known));
}

}  // namespace sluice::ingest
