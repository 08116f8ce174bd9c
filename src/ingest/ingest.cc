#include "ingest/ingest.h"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <list>
#include <utility>

#include "base/flat_map.h"
#include "base/logging.h"
#include "ingest/body_work.h"
#include "ingest/idempotency.h"
#include "ingest/key_gate.h"
#include "ingest/meters.h"
#include "ingest/rate_limit.h"
#include "ingest/request_head.h"

namespace sluice::ingest {

static_assert(http::Body::kPadding >= RecordParser::kPadding);

namespace {

using http::ErrorToken;

// A request on its way to the disk.
struct Pending {
  Kind kind;
  SteadyTime begun;
  std::variant<http::Responder, Ingest::Taken> asker;
  std::shared_ptr<Meters> meters;
  Acceptance acceptance = {};  // what will be said
  std::uint64_t records = 0;   // that are on their way
  std::uint64_t bytes = 0;     // theirs
  KeyGate::Pass pass = {};     // of a request with a key

  void refuse(const Refusal& refusal) {
    meters->rejected(refusal.token);
    say(refusal, Error{ErrorCode::Unavailable, refusal.message});
  }

  void accept() {
    if (acceptance.replayed) meters->replayed();
    say(acceptance, {});
  }

  // To a client in HTTP's terms, to a source in its own.
  template <class Said>
  void say(const Said& said, const Result<void>& to_source) {
    if (auto* const responder = std::get_if<http::Responder>(&asker)) {
      std::move(*responder).send(answer(said));
    } else {
      std::get<Ingest::Taken>(asker)(to_source);
    }
    pass = {};
  }

  void stored(const Result<void>& result) {
    if (result) {
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begun;
      meters->stored(kind, records, bytes, seconds.count());
      return accept();
    }
    switch (result.error().code) {
      case ErrorCode::Cancelled:
        return refuse({ErrorToken::Stopping, "Sluice is stopping: send the request again."});
      case ErrorCode::ResourceExhausted:
        return refuse({ErrorToken::StorageUnavailable,
                       "There is no room for more records now, on the disk or on the way to it: "
                       "send the request again later."});
      case ErrorCode::Unavailable:
        return refuse({ErrorToken::StorageUnavailable, result.error().message + "."});
      default:
        return refuse({ErrorToken::StorageUnavailable,
                       "The records could not be brought to disk: send the request again later."});
    }
  }
};

// What the log's views point into.
struct Payload {
  Payload(http::Body body_in, std::list<std::string> rewritten_in)
      : body(std::move(body_in)), rewritten(std::move(rewritten_in)) {}
  http::Body body;
  std::list<std::string> rewritten;
};

// What a request with an Idempotency-Key brings along.
struct Keyed {
  recordlog::RequestMark mark;
  std::vector<recordlog::StoredPiece> stored = {};  // of the same request, sent before
};

// A request whose head is in order.
struct Request {
  Kind kind;
  HeadOptions options;
  std::optional<OrganisationId> token_organisation;
  bool token_bound;
  std::string subject;  // with skip_invalid only
  std::optional<Keyed> keyed;
  std::vector<std::uint64_t> positions = {};  // of a source's messages
  std::size_t io_thread;
  http::Body body;
  std::unique_ptr<Pending> pending;
};

class Service final : public Ingest {
 public:
  Service(Settings settings, Dependencies dependencies,
          std::span<const catalog::Organisation> known)
      : settings_(std::move(settings)),
        dependencies_(dependencies),
        meters_(std::make_shared<Meters>(dependencies.metrics)),
        rate_limit_(settings_.rates),
        work_({settings_.body_bytes_max, settings_.record_bytes_max}) {
    for (std::size_t i = 0; i < dependencies_.threads.size(); ++i) {
      threads_.push_back(std::make_unique<PerThread>(settings_.record_bytes_max));
      threads_.back()->remember(known);
    }
  }
  ~Service() override { gate_->close(); }

  std::optional<http::Response> refuse(const http::RequestHead& head,
                                       const Identity& identity) override {
    const auto options = read_head(head, identity, settings_);
    std::optional<Refusal> refusal;
    if (const auto* const found = std::get_if<Refusal>(&options)) {
      refusal = *found;
    } else {
      refusal = over_rate(identity);
    }
    if (!refusal) return std::nullopt;
    meters_->rejected(refusal->token);
    return answer(*refusal);
  }

  void handle(const http::RequestHead& head, Kind kind, const Identity& identity, http::Body body,
              http::Responder responder) override {
    auto pending = std::make_unique<Pending>(
        Pending{kind, std::chrono::steady_clock::now(), std::move(responder), meters_});
    const auto head_options = read_head(head, identity, settings_);
    if (auto* refusal = std::get_if<Refusal>(&head_options)) return pending->refuse(*refusal);
    const HeadOptions& options = std::get<HeadOptions>(head_options);
    Request request{.kind = kind,
                    .options = options,
                    .token_organisation = identity.organisation,
                    .token_bound = identity.bound(),
                    .subject = options.skip_invalid ? identity.subject : "",
                    .keyed = {},
                    .io_thread = head.io_thread,
                    .body = std::move(body),
                    .pending = std::move(pending)};
    if (!options.idempotency_key.empty()) {
      const KeyScope scope{.identity = identity, .path = head.path, .query = head.query};
      request.keyed = Keyed{.mark = {.key = hash_of_key(scope, options.idempotency_key)}};
    }
    const bool is_plain = options.encoding == Encoding::Identity && !request.keyed &&
                          request.body.size() <= BodyWork::kReadHereBytesMax;
    if (is_plain) {
      ReadResult read = read_body({request.body.data(), request.body.size()}, read_options(request),
                                  threads_[request.io_thread]->parser);
      return store(std::move(request), std::move(read));
    }
    boost::asio::co_spawn(dependencies_.threads.loop(head.io_thread), process(std::move(request)),
                          boost::asio::detached);
  }

  void take(SourceRun run, Taken done) override {
    auto pending = std::make_unique<Pending>(
        Pending{run.kind, std::chrono::steady_clock::now(), std::move(done), meters_});
    HeadOptions options;
    options.framing = Framing::Lines;
    options.skip_invalid = true;
    const recordlog::RequestMark mark = mark_of(run.partition, run.first, run.end);
    Request request{.kind = run.kind,
                    .options = options,
                    .token_organisation = {},
                    .token_bound = false,
                    .subject = std::move(run.partition),
                    .keyed = Keyed{.mark = mark},
                    .positions = std::move(run.positions),
                    .io_thread = mark.key[0] % dependencies_.threads.size(),
                    .body = std::move(run.lines),
                    .pending = std::move(pending)};
    boost::asio::io_context& loop = dependencies_.threads.loop(request.io_thread);
    boost::asio::co_spawn(loop, process_run(std::move(request)), boost::asio::detached);
  }

  std::optional<StoredRun> newest_run(std::string_view partition) const override {
    return stored_run(dependencies_.log.stored_pieces(mark_of(partition, 0, 0).key));
  }

 private:
  // Touched on its I/O thread alone.
  struct PerThread {
    explicit PerThread(std::uint64_t record_bytes_max) : parser(record_bytes_max) {}

    std::vector<catalog::Organisation> unknown_among(const Batch& batch) const {
      std::vector<catalog::Organisation> unknown;
      for (const SeenOrganisation& seen : batch.organisations) {
        const std::string_view name = batch.name_of(seen);
        const auto found = is_named.find(seen.id);
        const bool is_known = found != is_named.end() && (found->second || name.empty());
        if (!is_known) unknown.push_back({.id = seen.id, .name = std::string(name)});
      }
      return unknown;
    }
    void remember(std::span<const catalog::Organisation> organisations) {
      for (const catalog::Organisation& organisation : organisations) {
        is_named[organisation.id] |= !organisation.name.empty();
      }
    }

    RecordParser parser;
    // The catalog's organisations as far as this thread knows: registering one again does no harm.
    FlatMap<OrganisationId, bool> is_named;
  };

  std::optional<Refusal> over_rate(const Identity& identity) {
    if (!rate_limit_.is_on() || !identity.bound()) return std::nullopt;
    const OrganisationId organisation = *identity.organisation;
    const auto wait_s = rate_limit_.wait_s(organisation, dependencies_.clock.steady());
    if (!wait_s) return std::nullopt;
    return Refusal{.token = ErrorToken::RateLimited,
                   .message = fmt::format("Organisation {} has sent more than its tokens may: send "
                                          "the request again in {} s.",
                                          organisation.value(), *wait_s),
                   .retry_after_s = *wait_s};
  }

  ReadOptions read_options(const Request& request) const {
    return {.kind = request.kind,
            .framing = request.options.framing,
            .requested = request.options.organisation,
            .token = request.token_organisation,
            .token_bound = request.token_bound,
            .record_bytes_max = settings_.record_bytes_max,
            .redact_tokens = settings_.redact_tokens,
            .skip_invalid = request.options.skip_invalid,
            .skip_large = !request.positions.empty()};
  }

  // What is more than reading a plain body. On the request's loop, but for what workers do.
  Awaitable<void> process(Request request) {
    if (request.options.encoding != Encoding::Identity) {
      const Encoding encoding = request.options.encoding;
      const std::optional<Refusal> refusal = co_await work_.unpack(encoding, request.body);
      if (refusal) co_return request.pending->refuse(*refusal);
      meters_->unpacked(request.body.size());
    }
    if (request.keyed) {
      const bool goes_on = co_await admit(request);
      if (!goes_on) co_return;
    }
    const ReadOptions options = read_options(request);
    RecordParser& parser = threads_[request.io_thread]->parser;
    ReadResult read = co_await work_.read(request.body, options, parser);
    store(std::move(request), std::move(read));
  }

  Awaitable<void> process_run(Request request) {
    Keyed& keyed = *request.keyed;
    keyed.stored = dependencies_.log.stored_pieces(keyed.mark.key);
    const bool is_of_this =
        !keyed.stored.empty() && keyed.stored.front().mark.body == keyed.mark.body;
    if (!is_of_this) keyed.stored.clear();
    if (is_whole(keyed.stored)) co_return request.pending->accept();
    const ReadOptions options = read_options(request);
    RecordParser& parser = threads_[request.io_thread]->parser;
    ReadResult read = co_await work_.read(request.body, options, parser);
    store(std::move(request), std::move(read));
  }

  // Waits for an earlier request with this key. False: the request has been answered.
  Awaitable<bool> admit(Request& request) {
    Keyed& keyed = *request.keyed;
    const BodyContext context{.framing = request.options.framing,
                              .own = request.token_organisation};
    keyed.mark.body = co_await work_.hash(request.body, context);
    boost::asio::io_context& loop = dependencies_.threads.loop(request.io_thread);
    KeyGate::Pass pass = co_await gate_->enter(keyed.mark.key, loop);
    request.pending->pass = std::move(pass);
    keyed.stored = dependencies_.log.stored_pieces(keyed.mark.key);
    if (keyed.stored.empty()) co_return true;
    const recordlog::RequestMark& first = keyed.stored.front().mark;
    if (first.body != keyed.mark.body) {
      request.pending->refuse({ErrorToken::IdempotencyKeyReused,
                               "This Idempotency-Key came with another body before: use a new key "
                               "for each body."});
      co_return false;
    }
    request.pending->acceptance.replayed = true;
    if (!is_whole(keyed.stored)) co_return true;
    request.pending->acceptance.accepted = first.accepted;
    if (request.options.skip_invalid) request.pending->acceptance.rejected = first.rejected;
    request.pending->accept();
    co_return false;
  }

  // On the request's I/O thread.
  void store(Request request, ReadResult read) {
    auto* const batch = std::get_if<Batch>(&read);
    if (rate_limit_.is_on() && request.token_bound) {
      rate_limit_.charge(*request.token_organisation, batch != nullptr ? batch->records : 0,
                         request.body.size(), dependencies_.clock.steady());
    }
    Pending& pending = *request.pending;
    if (batch == nullptr) return pending.refuse(std::get<Refusal>(read));
    pending.acceptance.accepted = batch->records;
    if (request.options.skip_invalid) {
      pending.acceptance.rejected = batch->rejected.size();
      std::vector<RecordFault>& faults = pending.acceptance.faults.emplace();
      for (const RejectedRecord& rejected : batch->rejected) {
        if (faults.size() == kFaultsListedMax) break;
        faults.push_back(rejected.fault);
      }
    }
    if (request.keyed && !leave_out_stored(request, *batch)) {
      return pending.refuse({ErrorToken::IdempotencyKeyReused,
                             "A part of this body is stored under its Idempotency-Key, but was "
                             "read differently then: use a new key."});
    }
    // Whoever bound the token has registered its organisation.
    auto unknown = request.token_bound ? std::vector<catalog::Organisation>()
                                       : threads_[request.io_thread]->unknown_among(*batch);
    if (unknown.empty() && batch->rejected.empty()) {
      return append(std::move(request), std::move(*batch));
    }
    boost::asio::io_context& loop = dependencies_.threads.loop(request.io_thread);
    boost::asio::co_spawn(
        loop, prepare_and_append(std::move(request), std::move(*batch), std::move(unknown)),
        boost::asio::detached);
  }

  // False: the stored pieces do not fit.
  static bool leave_out_stored(Request& request, Batch& batch) {
    recordlog::RequestMark& mark = request.keyed->mark;
    mark.accepted = static_cast<std::uint32_t>(batch.records);
    mark.rejected = static_cast<std::uint32_t>(batch.rejected.size());
    std::vector<recordlog::StoredPiece>& stored = request.keyed->stored;
    if (!stored.empty() && stored.front().mark != mark) {
      // Of a source: it has lost messages since. Better some twice than any not at all.
      if (request.positions.empty()) return false;
      stored.clear();
    }
    if (!keep_missing(batch.groups, stored)) return false;
    batch.bytes = 0;
    for (const recordlog::NewRecords& group : batch.groups) {
      for (const recordlog::NewRecord& record : group.records) batch.bytes += record.bytes.size();
    }
    return true;
  }

  // What comes before the records: the invalid ones, and organisations never heard of.
  Awaitable<void> prepare_and_append(Request request, Batch batch,
                                     std::vector<catalog::Organisation> unknown) {
    if (!batch.rejected.empty()) {
      const std::optional<Refusal> refusal = co_await quarantine(request, batch);
      if (refusal) co_return request.pending->refuse(*refusal);
    }
    if (!unknown.empty()) {
      // Named, since GCC 12 destroys a closure twice that is a temporary of a co_await expression.
      auto work = [this, &unknown] {
        return dependencies_.catalog.register_organisations(unknown);
      };
      const Result<void> registered = co_await dependencies_.catalog_pool.run(std::move(work));
      if (!registered) {
        co_return request.pending->refuse(
            {ErrorToken::StorageUnavailable,
             "The records name a new organisation that could not be registered: send the request "
             "again later."});
      }
      threads_[request.io_thread]->remember(unknown);
    }
    append(std::move(request), std::move(batch));
  }

  // What is passed outlives the awaitable.
  Awaitable<std::optional<Refusal>> quarantine(const Request& request, const Batch& batch) {
    auto work = [this, &request, &batch] { return quarantine_now(request, batch); };
    const Result<void> kept = co_await work_.run(std::move(work));
    if (kept) {
      meters_->quarantined(batch.rejected.size());
      co_return std::nullopt;
    }
    if (kept.error().code == ErrorCode::ResourceExhausted) {
      co_return Refusal{ErrorToken::QuarantineFull,
                        "The quarantine for invalid records is full, so nothing of this request "
                        "was stored: empty it (DELETE /api/v2/quarantine, an operator's call), or "
                        "leave the invalid records out."};
    }
    logging::error("quarantine failed", {{"error", kept.error().message}});
    co_return Refusal{ErrorToken::StorageUnavailable,
                      "The invalid records could not be put into quarantine: send the request "
                      "again later."};
  }

  static std::uint32_t index_of(const Request& request, std::uint32_t index) {
    return request.positions.empty() ? index : static_cast<std::uint32_t>(request.positions[index]);
  }

  // Blocks.
  Result<void> quarantine_now(const Request& request, const Batch& batch) {
    std::vector<catalog::RejectedRecords::Record> records;
    records.reserve(batch.rejected.size());
    for (const RejectedRecord& rejected : batch.rejected) {
      records.push_back({.index = index_of(request, rejected.fault.index),
                         .organisation = rejected.organisation,
                         .reason = rejected.fault.message,
                         .bytes = rejected.bytes});
    }
    catalog::RejectedRecords all{.time = dependencies_.clock.now(),
                                 .kind = request.kind,
                                 .subject = request.subject,
                                 .records = records};
    if (request.keyed) {
      const recordlog::RequestMark& mark = request.keyed->mark;
      auto& id = all.request.emplace();
      const auto behind = std::copy(mark.key.begin(), mark.key.end(), id.begin());
      if (request.positions.empty()) {
        std::copy(mark.body.begin(), mark.body.end(), behind);
      } else {
        // A source's messages are known by their positions, however they are cut into runs: here
        // are the upper halves, the indices are the lower ones.
        const std::uint64_t upper = request.positions.front() >> 32;
        for (int i = 0; i < 4; ++i) behind[i] = static_cast<std::uint8_t>(upper >> (8 * i));
      }
    }
    return dependencies_.quarantine.add(all);
  }

  void append(Request request, Batch batch) {
    std::shared_ptr<Pending> pending = std::move(request.pending);
    if (batch.groups.empty()) return pending->accept();
    for (const recordlog::NewRecords& group : batch.groups) {
      pending->records += group.records.size();
    }
    pending->bytes = batch.bytes;
    auto payload = std::make_shared<Payload>(std::move(request.body), std::move(batch.rewritten));
    recordlog::AppendRequest append_request{.groups = std::move(batch.groups),
                                            .payload = payload,
                                            .payload_bytes = payload->body.lease().bytes()};
    if (request.keyed) append_request.mark = request.keyed->mark;
    dependencies_.log.append(
        std::move(append_request),
        [pending = std::move(pending), payload = std::move(payload)](const Result<void>& result) {
          payload->body.lease() = {};  // in the log's cache, if anywhere
          pending->stored(result);
        });
  }

  Settings settings_;
  Dependencies dependencies_;
  std::shared_ptr<Meters> meters_;
  std::shared_ptr<KeyGate> gate_ = std::make_shared<KeyGate>();
  RateLimit rate_limit_;
  std::vector<std::unique_ptr<PerThread>> threads_;  // in the order of the loops
  BodyWork work_;  // the last: what its workers run uses the others
};

}  // namespace

Result<std::unique_ptr<Ingest>> Ingest::open(Settings settings, Dependencies dependencies) {
  const Result<std::vector<catalog::Organisation>> known = dependencies.catalog.organisations();
  if (!known) return known.error();
  return std::unique_ptr<Ingest>(
      std::make_unique<Service>(std::move(settings), dependencies, *known));
}

}  // namespace sluice::ingest
