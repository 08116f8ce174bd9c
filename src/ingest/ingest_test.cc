#include "ingest/ingest.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <boost/asio/post.hpp>
#include <deque>
#include <future>
#include <map>
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
  Result<catalog::Stream> update_stream(const catalog::Stream&, WallTime) override {
    return not_here();
  }
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
      const std::array<std::uint8_t, 16>&) const override {
    return {};
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

 private:
  FakeCatalog& catalog_;
  Mutex mutex_;
  CondVar arrived_;
  std::deque<Waiting> waiting_ SLUICE_GUARDED_BY(mutex_);
};

struct PromisedAnswer final : http::Responder::Target {
  void answer(std::optional<http::Response> response) override {
    promise.set_value(std::move(response));
  }
  std::promise<std::optional<http::Response>> promise;
};

class IngestTest : public testing::Test {
 protected:
  using Answer = std::future<std::optional<http::Response>>;

  IngestTest() {
    EXPECT_TRUE(catalog_.register_organisations(
        std::array{catalog::Organisation{OrganisationId{1}, "One"}}));
    Settings settings;
    settings.installation = "here";
    ingest_ = *Ingest::open(std::move(settings), {threads_, log_, catalog_, pool_, metrics_});
    identity_.role = Role::Ingest;
    threads_.start();
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
  WorkerPool pool_{"catalog", 1};
  IoThreads threads_{2};
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
  EXPECT_EQ(post(usage(1), 0, "on_invalid=skip").get()->status, 400);
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
  const auto opened = Ingest::open({}, {threads_, log_, catalog_, pool_, metrics_});
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::Corruption);
}

}  // namespace
}  // namespace sluice::ingest
