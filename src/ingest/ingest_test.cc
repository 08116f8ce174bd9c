#include "ingest/ingest.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <boost/asio/post.hpp>
#include <cstdint>
#include <deque>
#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/mutex.h"
#include "http/responder_target.h"
#include "ingest/padded_text.h"

namespace sluice::ingest {
namespace {

Error not_here() { return {ErrorCode::NotFound, "not in this test"}; }

class FakeCatalog final : public catalog::Catalog {
 public:
  Result<void> register_organisations(
      std::span<const catalog::Organisation> organisations) override {
    MutexLock lock(mutex_);
    ++calls_;
    if (broken_) return Error{ErrorCode::Unavailable, "locked"};
    for (const catalog::Organisation& organisation : organisations) {
      std::string& known = names_[organisation.id];
      if (known.empty()) known = organisation.name;
    }
    return {};
  }
  Result<std::vector<catalog::Organisation>> organisations() override {
    MutexLock lock(mutex_);
    if (broken_) return Error{ErrorCode::Corruption, "not a catalog"};
    std::vector<catalog::Organisation> result;
    for (const auto& [id, name] : names_) result.push_back({id, name});
    return result;
  }
  Result<std::optional<catalog::Organisation>> organisation(OrganisationId) override {
    return not_here();
  }
  Result<catalog::Stream> create_stream(catalog::Stream, WallTime) override { return not_here(); }
  Result<std::vector<catalog::Stream>> streams(OrganisationId) override { return not_here(); }
  Result<std::vector<catalog::Stream>> all_streams() override { return not_here(); }
  Result<std::optional<catalog::Stream>> stream(OrganisationId, StreamId) override {
    return not_here();
  }
  Result<std::optional<catalog::Stream>> stream(StreamId) override { return not_here(); }
  Result<catalog::Stream> change_stream(OrganisationId, StreamId, const catalog::StreamChange&,
                                        WallTime) override {
    return not_here();
  }
  Result<void> update_stream(const catalog::Stream&, WallTime) override { return not_here(); }
  Result<void> delete_stream(OrganisationId, StreamId) override { return not_here(); }

  void set_broken(bool broken) {
    MutexLock lock(mutex_);
    broken_ = broken;
  }
  int calls() {
    MutexLock lock(mutex_);
    return calls_;
  }
  // "" also for an unknown one.
  std::string name(std::uint64_t id) {
    MutexLock lock(mutex_);
    return names_[OrganisationId{id}];
  }
  bool knows(OrganisationId id) {
    MutexLock lock(mutex_);
    return names_.contains(id);
  }

 private:
  Mutex mutex_;
  std::map<OrganisationId, std::string> names_ SLUICE_GUARDED_BY(mutex_);
  bool broken_ SLUICE_GUARDED_BY(mutex_) = false;
  int calls_ SLUICE_GUARDED_BY(mutex_) = 0;
};

class FakeQuarantine final : public catalog::Quarantine {
 public:
  struct Kept {
    std::uint32_t index;
    std::optional<OrganisationId> organisation;
    std::string bytes;
    std::string subject;
    bool has_request;
  };
  Result<void> add(const catalog::RejectedRecords& rejected) override {
    MutexLock lock(mutex_);
    if (fault_) return *fault_;
    for (const auto& record : rejected.records) {
      kept_.push_back({record.index, record.organisation, std::string(record.bytes),
                       std::string(rejected.subject), rejected.request.has_value()});
    }
    return {};
  }
  Result<Page> list(std::optional<std::uint64_t>, std::uint32_t) override { return not_here(); }
  Result<std::uint64_t> clear(std::optional<std::uint64_t>) override { return not_here(); }

  void set_fault(std::optional<Error> fault) {
    MutexLock lock(mutex_);
    fault_ = std::move(fault);
  }
  std::vector<Kept> kept() {
    MutexLock lock(mutex_);
    return kept_;
  }

 private:
  Mutex mutex_;
  std::vector<Kept> kept_ SLUICE_GUARDED_BY(mutex_);
  std::optional<Error> fault_ SLUICE_GUARDED_BY(mutex_);
};

// Holds what it is given until the test lets it go.
class FakeLog final : public recordlog::RecordLog {
 public:
  struct Waiting {
    recordlog::AppendRequest request;
    recordlog::AppendDone done;
  };
  explicit FakeLog(FakeCatalog& catalog) : catalog_(catalog) {}

  void append(recordlog::AppendRequest request, recordlog::AppendDone done) override {
    for (const auto& group : request.groups) {
      EXPECT_TRUE(catalog_.knows(group.organisation)) << "appended before it was registered";
    }
    MutexLock lock(mutex_);
    waiting_.push_back({std::move(request), std::move(done)});
    arrived_.notify_all();
  }
  void set_observer(recordlog::AppendObserver*) override {}
  std::unique_ptr<recordlog::Reader> reader(OrganisationId, KindSet) override { return nullptr; }
  Offset end(OrganisationId) const override { return {}; }
  Result<Offset> offset_at(OrganisationId, WallTime) override { return not_here(); }
  std::vector<recordlog::StoredPiece> stored_pieces(
      const std::array<std::uint8_t, 16>& key) const override {
    MutexLock lock(mutex_);
    const auto found = pieces_.find(key);
    return found == pieces_.end() ? std::vector<recordlog::StoredPiece>() : found->second;
  }
  recordlog::Statistics statistics() const override { return {}; }
  Result<void> health() const override { return {}; }

  Waiting next() {
    MutexLock lock(mutex_);
    while (waiting_.empty()) arrived_.wait(mutex_);
    Waiting first = std::move(waiting_.front());
    waiting_.pop_front();
    return first;
  }
  bool idle() {
    MutexLock lock(mutex_);
    return waiting_.empty();
  }
  // Stores `waiting`, or of each group the first `records_max` records and fails.
  void finish(Waiting& waiting, std::size_t records_max = SIZE_MAX) {
    bool whole = true;
    if (waiting.request.mark) {
      MutexLock lock(mutex_);
      auto& pieces = pieces_[waiting.request.mark->key];
      for (const auto& group : waiting.request.groups) {
        const std::size_t count = std::min(group.records.size(), records_max);
        whole = whole && count == group.records.size();
        pieces.push_back(
            {*waiting.request.mark, group.part, group.first, static_cast<std::uint32_t>(count)});
      }
    }
    waiting.done(whole ? Result<void>() : Error{ErrorCode::Io, "torn"});
  }

 private:
  FakeCatalog& catalog_;
  mutable Mutex mutex_;
  std::map<std::array<std::uint8_t, 16>, std::vector<recordlog::StoredPiece>> pieces_
      SLUICE_GUARDED_BY(mutex_);
  CondVar arrived_;
  std::deque<Waiting> waiting_ SLUICE_GUARDED_BY(mutex_);
};

struct PromisedAnswer final : http::Responder::Target {
  void answer(std::optional<http::Response> response) override {
    promise.set_value(std::move(response));
  }
  std::shared_ptr<http::AnswerStream> answer_in_pieces(http::Response) override { return nullptr; }
  std::promise<std::optional<http::Response>> promise;
};

class IngestTest : public testing::Test {
 protected:
  using Answer = std::future<std::optional<http::Response>>;

  IngestTest() {
    EXPECT_TRUE(catalog_.register_organisations(
        std::array{catalog::Organisation{OrganisationId{1}, "One"}}));
    open({});
    identity_.role = Role::Ingest;
    identity_.subject = "feed";
    threads_.start();
  }
  void open(Rates rates) {
    Settings settings;
    settings.installation = "here";
    settings.rates = rates;
    ingest_ = *Ingest::open(std::move(settings), dependencies());
  }
  Ingest::Dependencies dependencies() {
    return {threads_, log_, catalog_, pool_, metrics_, quarantine_, clock_};
  }
  ~IngestTest() override { threads_.stop_and_join(); }

  using Headers = std::vector<std::pair<std::string_view, std::string_view>>;
  Answer post(std::string body, std::size_t io_thread = 0, std::string query = "",
              Headers more = {}) {
    auto target = std::make_shared<PromisedAnswer>();
    Answer answer = target->promise.get_future();
    boost::asio::post(threads_.loop(io_thread), [this, target, io_thread, body = std::move(body),
                                                 query = std::move(query), more]() mutable {
      http::RequestHead head;
      head.io_thread = io_thread;
      head.headers = {{"Content-Type", "application/x-ndjson"}};
      head.headers.insert(head.headers.end(), more.begin(), more.end());
      head.content_length = body.size();
      head.query = query;
      ingest_->handle(head, Kind::Usage, identity_, make_body(body),
                      http::Responder(std::move(target)));
    });
    return answer;
  }
  bool counted(const std::string& line) const {
    return metrics_.prometheus_text().find(line + "\n") != std::string::npos;
  }

  Metrics metrics_;
  FakeCatalog catalog_;
  FakeLog log_{catalog_};
  FakeQuarantine quarantine_;
  SystemClock clock_;
  IoThreads threads_{2};
  WorkerPool pool_{"catalog", 1};  // ends before the loops that it posts to
  std::unique_ptr<Ingest> ingest_;
  Identity identity_;
};

std::string usage(std::uint64_t organisation, std::string_view name = "") {
  return fmt::format(R"({{"id":1,"end_timestamp":"2026-01-01 00:00:00",)"
                     R"("organisation":{{"id":{},"name":"{}"}}}})",
                     organisation, name);
}

TEST_F(IngestTest, AnswersWhenTheLogHasTheRecordsAndNotBefore) {
  Answer answer = post(usage(1) + "\n" + usage(1));
  FakeLog::Waiting waiting = log_.next();
  EXPECT_NE(answer.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  ASSERT_EQ(waiting.request.groups.size(), 1u);
  const auto& records = waiting.request.groups[0].records;
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[1].bytes, usage(1));
  EXPECT_EQ(records[1].bytes.data(), records[0].bytes.data() + usage(1).size() + 1);
  EXPECT_EQ(records[0].bytes.data()[usage(1).size()], ',');
  waiting.done({});
  const http::Response response = *answer.get();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, R"({"accepted":2})");
  EXPECT_TRUE(counted(R"(sluice_ingest_records_total{kind="usage"} 2)"));
  EXPECT_TRUE(counted(fmt::format("sluice_ingest_bytes_total {}", 2 * usage(1).size())));
}

TEST_F(IngestTest, AcceptsNothingWithoutAskingTheLog) {
  EXPECT_EQ(post("\n\n").get()->body, R"({"accepted":0})");
  EXPECT_TRUE(log_.idle());
}

TEST_F(IngestTest, StoresNothingOfARefusedRequest) {
  const http::Response response = *post(usage(1) + "\n{}").get();
  EXPECT_EQ(response.status, 422);
  EXPECT_NE(response.body.find(R"("errors":[{"index":1,"line":2,)"), std::string::npos);
  EXPECT_TRUE(log_.idle());
  EXPECT_TRUE(counted(R"(sluice_ingest_rejected_requests_total{reason="InvalidRecord"} 1)"));
}

TEST_F(IngestTest, RegistersNewOrganisationsBeforeItStoresTheirRecords) {
  Answer answer = post(usage(1) + "\n" + usage(7, "Seven") + "\n" + usage(8) + "\n" + usage(7));
  FakeLog::Waiting waiting = log_.next();  // which has looked
  EXPECT_EQ(waiting.request.groups.size(), 3u);
  EXPECT_EQ(catalog_.name(7), "Seven");
  EXPECT_EQ(catalog_.calls(), 2);
  waiting.done({});
  EXPECT_EQ(answer.get()->body, R"({"accepted":4})");
}

TEST_F(IngestTest, RegistersAnOrganisationOnceAThread) {
  const auto store = [&](const std::string& body, std::size_t io_thread) {
    Answer answer = post(body, io_thread);
    log_.next().done({});
    EXPECT_EQ(answer.get()->status, 200);
    return catalog_.calls();
  };
  EXPECT_EQ(store(usage(1), 0), 1);
  EXPECT_EQ(store(usage(7), 0), 2);
  EXPECT_EQ(store(usage(7), 0), 2);
  EXPECT_EQ(store(usage(7), 1), 3);
  EXPECT_EQ(store(usage(7, "Seven"), 0), 4) << "now it has a name";
  EXPECT_EQ(catalog_.name(7), "Seven");
  EXPECT_EQ(store(usage(7, "Other"), 0), 4);
  EXPECT_EQ(store(usage(7), 0), 4);
}

TEST_F(IngestTest, NeverRegistersForABoundToken) {
  identity_.organisation = OrganisationId{1};
  Answer answer = post(usage(1, "Changed"));
  log_.next().done({});
  EXPECT_EQ(answer.get()->status, 200);
  EXPECT_EQ(catalog_.calls(), 1);
  EXPECT_EQ(post(usage(2)).get()->status, 403);
}

TEST_F(IngestTest, TakesTheOrganisationFromTheQuery) {
  Answer answer = post(usage(7, "Seven"), 0, "organisation_id=1");
  FakeLog::Waiting waiting = log_.next();
  EXPECT_EQ(waiting.request.groups.at(0).organisation, OrganisationId{1});
  waiting.done({});
  EXPECT_EQ(answer.get()->status, 200);
  EXPECT_EQ(post(usage(1), 0, "on_invalid=ignore").get()->status, 400);
}

TEST_F(IngestTest, StoresNothingWhenAnOrganisationCannotBeRegistered) {
  catalog_.set_broken(true);
  const http::Response response = *post(usage(1) + "\n" + usage(7)).get();
  EXPECT_EQ(response.status, 503);
  EXPECT_TRUE(log_.idle());
  catalog_.set_broken(false);
  Answer answer = post(usage(7));
  log_.next().done({});
  EXPECT_EQ(answer.get()->status, 200);
}

TEST_F(IngestTest, SaysSoWhenTheLogFails) {
  for (const auto& [code, token] : {std::pair{ErrorCode::Cancelled, "Stopping"},
                                    {ErrorCode::Io, "StorageUnavailable"},
                                    {ErrorCode::ResourceExhausted, "StorageUnavailable"},
                                    {ErrorCode::InvalidArgument, "StorageUnavailable"}}) {
    Answer answer = post(usage(1));
    log_.next().done(Error{code, "/var/lib/secret: no"});
    const http::Response response = *answer.get();
    EXPECT_EQ(response.status, 503);
    EXPECT_NE(response.body.find(token), std::string::npos) << response.body;
    EXPECT_EQ(response.body.find("secret"), std::string::npos);
    EXPECT_EQ(response.headers.at(0).first, "Retry-After");
  }
  EXPECT_TRUE(counted(R"(sluice_ingest_rejected_requests_total{reason="StorageUnavailable"} 3)"));
}

TEST_F(IngestTest, SkipsInvalidRecordsOnceTheyAreInQuarantine) {
  Answer answer = post(usage(1) + "\nrubbish\n" + usage(1), 0, "on_invalid=skip");
  FakeLog::Waiting waiting = log_.next();
  EXPECT_EQ(waiting.request.groups.at(0).records.size(), 2u);
  const auto kept = quarantine_.kept();
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0].bytes, "rubbish");
  EXPECT_EQ(kept[0].index, 1u);
  EXPECT_EQ(kept[0].subject, "feed");
  EXPECT_FALSE(kept[0].has_request);
  waiting.done({});
  const auto body = nlohmann::json::parse(answer.get()->body);
  EXPECT_EQ(body["accepted"], 2);
  EXPECT_EQ(body["rejected"], 1);
  ASSERT_EQ(body["errors"].size(), 1u);
  EXPECT_EQ(body["errors"][0]["index"], 1);
  EXPECT_EQ(body["errors"][0]["line"], 2);
  EXPECT_TRUE(counted("sluice_ingest_quarantined_records_total 1"));
}

TEST_F(IngestTest, SaysThatNothingWasSkipped) {
  Answer answer = post(usage(1), 0, "on_invalid=skip");
  log_.next().done({});
  EXPECT_EQ(answer.get()->body, R"({"accepted":1,"rejected":0,"errors":[]})");
  const auto none = nlohmann::json::parse(post("x", 0, "on_invalid=skip").get()->body);
  EXPECT_EQ(none["accepted"], 0);
  EXPECT_EQ(none["rejected"], 1);
}

TEST_F(IngestTest, ListsTheFirst100OfWhatItSkipped) {
  std::string text;
  for (int i = 0; i < 150; ++i) text += "x\n";
  const auto body = nlohmann::json::parse(post(text, 0, "on_invalid=skip").get()->body);
  EXPECT_EQ(body["rejected"], 150);
  EXPECT_EQ(body["errors"].size(), 100u);
  EXPECT_EQ(quarantine_.kept().size(), 150u);
}

TEST_F(IngestTest, StoresNothingWhenTheQuarantineCannotTakeTheRejected) {
  quarantine_.set_fault(Error{ErrorCode::ResourceExhausted, "full"});
  const http::Response full = *post(usage(1) + "\nx", 0, "on_invalid=skip").get();
  EXPECT_EQ(full.status, 422);
  EXPECT_NE(full.body.find("QuarantineFull"), std::string::npos);
  quarantine_.set_fault(Error{ErrorCode::Io, "/secret: broken"});
  const http::Response broken = *post(usage(1) + "\nx", 0, "on_invalid=skip").get();
  EXPECT_EQ(broken.status, 503);
  EXPECT_EQ(broken.body.find("secret"), std::string::npos);
  EXPECT_TRUE(log_.idle());
}

const std::vector<std::pair<std::string_view, std::string_view>> kKey = {{"Idempotency-Key", "k"}};

TEST_F(IngestTest, AnswersARequestSentAgainWithTheCountsOfTheFirstTime) {
  const std::string body = usage(1) + "\n" + usage(1);
  Answer first = post(body, 0, "", kKey);
  FakeLog::Waiting waiting = log_.next();
  ASSERT_TRUE(waiting.request.mark.has_value());
  EXPECT_EQ(waiting.request.mark->accepted, 2u);
  log_.finish(waiting);
  EXPECT_EQ(first.get()->body, R"({"accepted":2})");
  EXPECT_EQ(post(body, 1, "", kKey).get()->body, R"({"accepted":2,"replayed":true})");
  EXPECT_TRUE(log_.idle());
  const http::Response other = *post(usage(1), 0, "", kKey).get();
  EXPECT_EQ(other.status, 409);
  EXPECT_NE(other.body.find("IdempotencyKeyReused"), std::string::npos);
  Answer elsewhere = post(usage(1), 0, "organisation_id=1", kKey);
  log_.next().done({});
  EXPECT_EQ(elsewhere.get()->body, R"({"accepted":1})") << "another query, another key";
  EXPECT_TRUE(counted("sluice_ingest_replayed_requests_total 1"));
}

TEST_F(IngestTest, StoresWhatIsMissingOfARequestThatFailed) {
  const std::string body = usage(1, "a") + "\n" + usage(7, "b") + "\n" + usage(1, "c") + "\n" +
                           usage(1, "d") + "\n" + usage(7, "e");
  Answer first = post(body, 0, "", kKey);
  FakeLog::Waiting torn = log_.next();
  log_.finish(torn, 1);
  EXPECT_EQ(first.get()->status, 503);

  Answer again = post(body, 1, "", kKey);
  FakeLog::Waiting rest = log_.next();
  ASSERT_EQ(rest.request.groups.size(), 2u);
  EXPECT_EQ(rest.request.groups[0].part, 0u);
  EXPECT_EQ(rest.request.groups[0].first, 1u);
  ASSERT_EQ(rest.request.groups[0].records.size(), 2u);
  EXPECT_EQ(rest.request.groups[0].records[0].bytes, usage(1, "c"));
  EXPECT_EQ(rest.request.groups[1].records.at(0).bytes, usage(7, "e"));
  EXPECT_EQ(rest.request.mark, torn.request.mark);
  log_.finish(rest);
  EXPECT_EQ(again.get()->body, R"({"accepted":5,"replayed":true})");
  EXPECT_EQ(post(body, 0, "", kKey).get()->body, R"({"accepted":5,"replayed":true})");
  EXPECT_EQ(post(usage(1), 0, "", kKey).get()->status, 409);
}

TEST_F(IngestTest, TheSecondOfAKeyWaitsForTheFirst) {
  Answer first = post(usage(1), 0, "", kKey);
  FakeLog::Waiting waiting = log_.next();
  std::vector<Answer> others;
  for (int i = 0; i < 5; ++i) others.push_back(post(usage(1), i % 2, "", kKey));
  Answer free = post(usage(1), 0, "", {{"Idempotency-Key", "another"}});
  log_.next().done({});
  EXPECT_EQ(free.get()->status, 200);
  EXPECT_NE(others[0].wait_for(std::chrono::seconds(0)), std::future_status::ready);
  log_.finish(waiting);
  EXPECT_EQ(first.get()->body, R"({"accepted":1})");
  for (Answer& other : others) EXPECT_EQ(other.get()->body, R"({"accepted":1,"replayed":true})");
}

TEST_F(IngestTest, OnlyWhatIsStoredIsRemembered) {
  EXPECT_EQ(post("rubbish", 0, "", kKey).get()->status, 422);
  EXPECT_EQ(post("\n", 0, "", kKey).get()->body, R"({"accepted":0})");
  Answer failing = post(usage(1), 0, "", kKey);
  log_.next().done(Error{ErrorCode::ResourceExhausted, "full"});
  EXPECT_EQ(failing.get()->status, 503);
  Answer good = post(usage(1) + "\n" + usage(1), 0, "", kKey);
  FakeLog::Waiting waiting = log_.next();
  log_.finish(waiting);
  EXPECT_EQ(good.get()->body, R"({"accepted":2})");
}

TEST_F(IngestTest, AReplayOfASkippingRequestCountsWhatWasRejected) {
  const std::string body = usage(1) + "\nx\ny";
  Answer first = post(body, 0, "on_invalid=skip", kKey);
  FakeLog::Waiting waiting = log_.next();
  EXPECT_EQ(waiting.request.mark->rejected, 2u);
  EXPECT_TRUE(quarantine_.kept().at(0).has_request);
  log_.finish(waiting);
  EXPECT_EQ(first.get()->status, 200);
  EXPECT_EQ(post(body, 0, "on_invalid=skip", kKey).get()->body,
            R"({"accepted":1,"rejected":2,"replayed":true})");
  EXPECT_EQ(quarantine_.kept().size(), 2u);
}

TEST_F(IngestTest, ThoseWhoWaitForAKeyAreLetGoAtTheEnd) {
  Answer first = post(usage(1), 0, "", kKey);
  FakeLog::Waiting waiting = log_.next();
  Answer second = post(usage(1), 0, "", kKey);
  Answer probe = post("\n");  // behind it on the same loop
  EXPECT_EQ(probe.get()->status, 200);
  threads_.stop_and_join();
  ingest_.reset();
  waiting.done({});
}

TEST_F(IngestTest, MakesABoundTokenWaitThatHasSentTooMuch) {
  open({.records_per_s = 2});
  const auto refusal = [this] {
    http::RequestHead head;
    head.headers = {{"Content-Type", "application/json"}};
    head.content_length = 10;
    return ingest_->refuse(head, identity_);
  };
  const std::string text = fmt::format("{0}\n{0}\n{0}\n{0}\n", usage(1));
  for (const bool bound : {false, true}) {
    if (bound) identity_.organisation = OrganisationId{1};
    EXPECT_FALSE(refusal().has_value());
    Answer answer = post(text + text + text);
    log_.next().done({});
    EXPECT_EQ(answer.get()->status, 200);
    EXPECT_EQ(refusal().has_value(), bound) << "the operator's feed is never held up";
  }
  const http::Response response = *refusal();
  EXPECT_EQ(response.status, 429);
  ASSERT_EQ(response.headers.size(), 1u);
  EXPECT_EQ(response.headers[0].first, "Retry-After");
  EXPECT_GE(std::stoi(response.headers[0].second), 4);
}

// `records` usage records in lines, packed.
std::string packed_lines(std::size_t records) {
  std::string text;
  for (std::size_t i = 0; i < records; ++i) text += usage(1) + "\n";
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 1));
  return packed;
}

TEST_F(IngestTest, UnpacksSmallBodiesHereAndLargeOnesOnItsWorkers) {
  // Small, beyond what an I/O thread unpacks, beyond what it reads.
  for (const std::size_t records : {3ul, 10'000ul, 80'000ul}) {
    Answer answer = post(packed_lines(records), 0, "", {{"Content-Encoding", "zstd"}});
    FakeLog::Waiting waiting = log_.next();
    const auto& stored = waiting.request.groups.at(0).records;
    ASSERT_EQ(stored.size(), records);
    EXPECT_EQ(stored.back().bytes, usage(1));
    waiting.done({});
    EXPECT_EQ(answer.get()->body, fmt::format(R"({{"accepted":{}}})", records));
  }
}

TEST_F(IngestTest, ReadsLargeBodiesOnItsWorkers) {
  std::string text;
  while (text.size() < 5 << 20) text += usage(1) + "\n";
  Answer answer = post(text);
  log_.next().done({});
  EXPECT_EQ(answer.get()->status, 200);
}

TEST_F(IngestTest, RefusesPackedRubbishAndWhatUnpacksToTooMuch) {
  const Headers zstd = {{"Content-Encoding", "zstd"}};
  EXPECT_EQ(post("rubbish", 0, "", zstd).get()->status, 400);
  EXPECT_EQ(post("", 0, "", zstd).get()->body, R"({"accepted":0})");
  const std::string spaces(64 << 20, ' ');
  std::string packed(ZSTD_compressBound(spaces.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), spaces.data(), spaces.size(), 1));
  EXPECT_EQ(post(packed, 0, "", zstd).get()->body, R"({"accepted":0})");
  const http::Response response = *post(packed + packed_lines(1), 0, "", zstd).get();
  EXPECT_EQ(response.status, 413);
  EXPECT_NE(response.body.find("67108864 bytes"), std::string::npos);
  EXPECT_TRUE(log_.idle());
  EXPECT_TRUE(counted(R"(sluice_ingest_rejected_requests_total{reason="BodyTooLarge"} 1)"));
}

TEST_F(IngestTest, KeepsTheBytesUntilTheLogIsDone) {
  Answer answer = post(usage(1, "One"));
  FakeLog::Waiting waiting = log_.next();
  const std::weak_ptr<const void> payload = waiting.request.payload;
  ingest_.reset();
  EXPECT_EQ(waiting.request.groups.at(0).records.at(0).bytes, usage(1, "One"));
  waiting.done({});
  EXPECT_EQ(answer.get()->status, 200);
  waiting = {};
  EXPECT_TRUE(payload.expired());
}

TEST_F(IngestTest, RefusesByTheHeadAlone) {
  http::RequestHead head;
  head.headers = {{"Content-Type", "application/json"}};
  head.content_length = 10;
  EXPECT_FALSE(ingest_->refuse(head, identity_).has_value());
  head.content_length = (64 << 20) + 1;
  EXPECT_EQ(ingest_->refuse(head, identity_)->status, 413);
  identity_.role = Role::Viewer;
  EXPECT_EQ(ingest_->refuse(head, identity_)->status, 403);
  EXPECT_TRUE(counted(R"(sluice_ingest_rejected_requests_total{reason="Forbidden"} 1)"));
}

TEST_F(IngestTest, DoesNotOpenOverABrokenCatalog) {
  catalog_.set_broken(true);
  const auto opened = Ingest::open({}, dependencies());
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::Corruption);
}

}  // namespace
}  // namespace sluice::ingest
