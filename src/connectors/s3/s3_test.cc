#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "connectors/common/test_records.h"
#include "connectors/connector.h"
#include "connectors/s3/config.h"
#include "connectors/s3/file.h"
#include "egress/testing/run.h"
#include "egress/testing/test_server.h"

namespace sluice::connectors::s3 {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using egress::testing::Peer;
using egress::testing::TestServer;
using testing::as;
using testing::batch_of;
using testing::TestChunk;

constexpr WallTime kStored{1'795'336'623'456};  // 2026-11-22T08:37:03.456Z
constexpr std::uint32_t kStored_s = kStored.ms / 1000;

json credentials_with(const json& more) {
  json credentials = {{"region", "eu-west-1"},
                      {"bucket_name", "records"},
                      {"access_key_id", "AKIDSTREAM"},
                      {"secret_access_key", "stream-secret"}};
  credentials.update(more);
  return credentials;
}

Config config_with(const json& more = json::object()) {
  const Result<Config> config = read_config(credentials_with(more));
  EXPECT_TRUE(config.has_value()) << config.error().message;
  return *config;
}

// ---- settings

TEST(S3Config, HasTheDefaultsOfItsSchema) {
  const Config config = config_with();
  const json schema = json::parse(find_connector("S3")->schema_json);
  for (const json& field : schema.at("fields")) {
    if (field.at("key") == "flush_size") {
      EXPECT_EQ(field.at("default"), config.flush_size);
    }
    if (field.at("key") == "rotate_interval") {
      EXPECT_EQ(field.at("default"), config.rotate_interval.count());
    }
  }
}

TEST(S3Config, FlushSizeAndIntervalBoundAFileAndBytesHardlyDo) {
  const BatchLimits limits = find_connector("S3")->limits(
      credentials_with({{"flush_size", 100'000}, {"rotate_interval", 900'000}}));
  EXPECT_EQ(limits.records_max, 100'000u);
  EXPECT_EQ(limits.linger, 900s);
  EXPECT_GE(limits.bytes_max, 100'000ull * 50'000);
  ASSERT_TRUE(limits.held_bytes_max.has_value());
  EXPECT_LE(*limits.held_bytes_max, 16'000'000u) << "what lies in memory does not depend on it";
}

TEST(S3Config, NamesThePropertyAtFault) {
  const auto fault = [](const json& more) {
    const Result<void> valid = find_connector("S3")->validate(credentials_with(more));
    return valid.has_value() ? "valid" : valid.error().message;
  };
  EXPECT_EQ(fault({{"kms_key_id", "k"}}),
            "destination.credentials.kms_key_id: goes with server_side_encryption aws:kms");
  EXPECT_EQ(fault({{"kms_key_id", "k"}, {"server_side_encryption", "aws:kms"}}), "valid");
  EXPECT_EQ(fault({{"prefix", std::string(901, 'x')}}),
            "destination.credentials.prefix: must be at most 900 bytes long");
  EXPECT_EQ(fault({{"role_arn", "r"}}),
            "destination.credentials.role_arn: give either this or access_key_id");
}

TEST(S3Config, ABucketHasAHostOfItsOwnWhereThatCanBe) {
  EXPECT_EQ(object_url(config_with(), "a b/c.csv"),
            "https://records.s3.eu-west-1.amazonaws.com/a%20b/c.csv");
  EXPECT_EQ(object_url(config_with({{"bucket_name", "my.records"}}), "c.csv"),
            "https://s3.eu-west-1.amazonaws.com/my.records/c.csv");
  EXPECT_EQ(object_url(config_with({{"endpoint_url", "http://minio:9000/"}}), "c.csv"),
            "http://minio:9000/records/c.csv");
  EXPECT_EQ(object_url(config_with({{"region", "cn-north-1"}}), "c"),
            "https://records.s3.cn-north-1.amazonaws.com.cn/c");
}

// ---- names of files

std::string key(const Config& config, const RecordBatch& batch, Kind kind) {
  return key_of(config, batch, kind, *first_of(batch, kind));
}

TEST(S3Key, HasTheTimeAtWhichTheFilesFirstRecordWasStored) {
  const TestChunk usage(Offset{5}, {"{}", "{}"}, Kind::Usage, kStored);
  const TestChunk event(Offset{7}, {"{}"}, Kind::Event, WallTime{kStored.ms + 60'000});
  const RecordBatch batch = batch_of({usage.run(1, 2), event.run()});
  EXPECT_EQ(key(config_with(), batch, Kind::Usage), "cdr_20261122_083703.csv");
  EXPECT_EQ(key(config_with({{"prefix", "a/b_"}}), batch, Kind::Event),
            "a/b_events_20261122_083803.csv");
  Config lines = config_with({{"compression", "gzip"}});
  EXPECT_EQ(key(lines, batch, Kind::Event), "events_20261122_083803.csv.gz");
  lines.format = Format::Lines;
  EXPECT_EQ(key(lines, batch, Kind::Event), "events_20261122_083803.ndjson.gz");
  EXPECT_FALSE(first_of(batch_of({usage.run()}), Kind::Event).has_value());
}

TEST(S3Key, TheLastOnesNameAgainGetsTheFirstOffset) {
  const TestChunk usage(Offset{5}, {"{}", "{}"}, Kind::Usage, kStored);
  const TestChunk event(Offset{7}, {"{}"}, Kind::Event, kStored);
  RecordBatch batch = batch_of({usage.run(1, 2), event.run()});
  batch.delivered_stored = {.usage_s = kStored_s, .event_s = kStored_s - 1};
  EXPECT_EQ(key(config_with(), batch, Kind::Usage), "cdr_20261122_083703_6.csv");
  EXPECT_EQ(key(config_with(), batch, Kind::Event), "events_20261122_083703.csv");
  batch.beside_others = true;
  EXPECT_EQ(key(config_with(), batch, Kind::Event), "events_20261122_083703_7.csv");
  batch.beside_others = false;
  batch.test = true;
  EXPECT_EQ(key(config_with(), batch, Kind::Usage), "cdr_20261122_083703_test.csv");
  batch.test = false;
  batch.replay = ReplayId{9};
  EXPECT_EQ(key(config_with(), batch, Kind::Event), "events_20261122_083703_r9.csv");
  EXPECT_EQ(key(config_with(), batch, Kind::Usage), "cdr_20261122_083703_r9_6.csv");
}

TEST(S3Key, FirstStoredLooksAtTheDeliveredRecordsAlone) {
  const TestChunk early(Offset{5}, {"{}", "{}"}, Kind::Usage, kStored);
  const TestChunk late(Offset{7}, {"{}"}, Kind::Event, WallTime{kStored.ms + 1000});
  const std::vector<RecordRun> runs = {early.run(), late.run()};
  EXPECT_EQ(first_stored(runs, 3), (FirstStored{kStored_s, kStored_s + 1}));
  EXPECT_EQ(first_stored(runs, 2), (FirstStored{kStored_s, 0}));
  EXPECT_EQ(first_stored(runs, 0), FirstStored{});
}

// ---- files

std::string file_of(FileWriter& writer, const std::vector<std::string>& records) {
  for (const std::string& record : records) writer.append(record);
  writer.finish();
  std::string bytes;
  for (const std::string& block : writer.blocks()) bytes += block;
  EXPECT_EQ(writer.sha256(),
            signing::hex_digest(signing::Digest::Sha256, std::vector<std::string_view>{bytes}));
  return bytes;
}

TEST(S3File, IsAHeaderAndRows) {
  FileWriter writer(config_with(), Kind::Usage);
  const std::string bytes = file_of(writer, {R"({"id":7,"cost":1})", R"({"id":8})"});
  EXPECT_TRUE(bytes.starts_with("\"id\",\"event_start_timestamp\","));
  EXPECT_NE(bytes.find("\n\"7\",,"), std::string::npos);
  EXPECT_NE(bytes.find(",\"1.0000000000\","), std::string::npos);
}

TEST(S3File, IsTheSameEveryTimeAlsoPackedAndInManyBlocks) {
  std::vector<std::string> records;
  for (int i = 0; i < 20'000; ++i)
    records.push_back(fmt::format(R"({{"id":{},"x":"{}"}})", i, i * i));
  Config config = config_with();
  config.format = Format::Lines;
  std::string lines;
  for (const std::string& record : records) lines += record + "\n";
  FileWriter plain(config, Kind::Event);
  EXPECT_EQ(file_of(plain, records), lines);
  EXPECT_GT(plain.blocks().size(), 1u);
  config.gzip = true;
  FileWriter one(config, Kind::Event);
  FileWriter other(config, Kind::Event);
  const std::string packed = file_of(one, records);
  EXPECT_EQ(packed, file_of(other, records));
  EXPECT_LT(packed.size(), lines.size() / 2);
}

// ---- the whole connector against a server

class S3ConnectorTest : public ::testing::Test {
 protected:
  S3ConnectorTest() {
    egress::Settings settings;
    settings.allow = {"127.0.0.0/8"};
    http_ = std::make_unique<egress::HttpClient>(loop_, clock_, settings);
  }

  std::unique_ptr<Connector> create(const TestServer& server, json more = json::object()) {
    more["endpoint_url"] = fmt::format("http://127.0.0.1:{}", server.port());
    const json settings = {
        {"connection_type", "S3"}, {"format", "Csv"}, {"credentials", credentials_with(more)}};
    return find_connector("S3")->create({.organisation = OrganisationId{399921},
                                         .stream = StreamId{7},
                                         .settings = settings,
                                         .success_200_only = false},
                                        {*http_, clock_, "node-a"});
  }
  SendOutcome send(Connector& connector, const RecordBatch& batch) {
    return egress::testing::run(loop_, connector.send(batch, clock_.steady() + 10s));
  }
  Result<void> check(Connector& connector) {
    return egress::testing::run(loop_, connector.check(clock_.steady() + 10s));
  }

  boost::asio::io_context loop_{1};
  SystemClock clock_;
  std::unique_ptr<egress::HttpClient> http_;
  const TestChunk usage_{Offset{5}, {R"({"id":1})", R"({"id":2})"}, Kind::Usage, kStored};
  const TestChunk event_{Offset{7}, {R"({"id":3})"}, Kind::Event, kStored};
  const RecordBatch both_ = batch_of({usage_.run(), event_.run()});
};

std::string refusal(std::string_view code) {
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>its own "
      "words</Message><RequestId>1</RequestId></Error>",
      code);
}

TEST_F(S3ConnectorTest, WritesAFileOfEachKindAndBothOnceMoreWhereOneFailed) {
  std::mutex mutex;
  std::vector<egress::testing::Request> requests;
  std::atomic<bool> fails = true;
  const TestServer server([&](Peer& peer) {
    while (const auto request = peer.read_request()) {
      const bool event = request->head.find("/events_") != std::string::npos;
      const bool refuse = event && fails.exchange(false);
      const std::lock_guard lock(mutex);
      requests.push_back(*request);
      peer.answer(refuse ? 503 : 200, "", refuse ? refusal("SlowDown") : "");
    }
  });
  const auto connector =
      create(server, {{"server_side_encryption", "aws:kms"}, {"kms_key_id", "k"}});
  const SendOutcome first = send(*connector, both_);
  ASSERT_TRUE(as<RetryLater>(first));
  EXPECT_EQ(as<RetryLater>(first)->first_failed, 0u);
  EXPECT_NE(as<RetryLater>(first)->reason.find("503 SlowDown: its own words"), std::string::npos);
  EXPECT_TRUE(as<Delivered>(send(*connector, both_)));
  const std::lock_guard lock(mutex);
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_TRUE(requests[0].head.starts_with("PUT /records/cdr_20261122_083703.csv HTTP/1.1"));
  EXPECT_TRUE(requests[1].head.starts_with("PUT /records/events_20261122_083703.csv HTTP/1.1"));
  EXPECT_EQ(requests[0].body, requests[2].body);
  EXPECT_EQ(requests[1].body, requests[3].body);
  for (const char* header :
       {"X-Amz-Server-Side-Encryption: aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id: k",
        "Content-Type: text/csv; charset=utf-8", "/eu-west-1/s3/aws4_request"}) {
    EXPECT_NE(requests[0].head.find(header), std::string::npos) << header;
  }
}

// Gives a batch's records run by run, and as often as wanted.
class FakeSource final : public RecordSource {
 public:
  explicit FakeSource(std::vector<RecordRun> runs) : runs_(std::move(runs)) {}

  void rewind() override {
    at_ = 0;
    ++passes;
  }
  Awaitable<Result<std::optional<RecordRun>>> next() override {
    if (passes == fails_in_pass && at_ == runs_.size() / 2) {
      co_return Error{ErrorCode::Unavailable, "a segment is gone"};
    }
    if (at_ == runs_.size()) co_return std::optional<RecordRun>();
    co_return std::optional(runs_[at_++]);
  }

  int passes = 0;
  int fails_in_pass = 0;

 private:
  const std::vector<RecordRun> runs_;
  std::size_t at_ = 0;
};

// Records of both kinds in turn, a few MB of them.
struct LargeBatch {
  LargeBatch() {
    for (std::uint32_t i = 0; i < 40; ++i) {
      std::vector<std::string> records;
      for (std::uint32_t k = 0; k < 200; ++k) {
        records.push_back(
            fmt::format(R"({{"id":{},"detail":"{}"}})", 200 * i + k, std::string(400, 'x')));
      }
      chunks.push_back(std::make_unique<TestChunk>(
          Offset{5 + 200 * i}, records, i % 3 == 0 ? Kind::Event : Kind::Usage, kStored));
      runs.push_back(chunks.back()->run());
    }
    held = batch_of(runs);
    streamed = held;
    streamed.runs.clear();
  }
  std::vector<std::unique_ptr<TestChunk>> chunks;
  std::vector<RecordRun> runs;
  RecordBatch held;
  RecordBatch streamed;
};

TEST_F(S3ConnectorTest, ABatchThatIsNotHeldMakesTheSameFiles) {
  std::mutex mutex;
  std::map<std::string, std::vector<std::string>> bodies;  // by the request's first line
  const TestServer server([&](Peer& peer) {
    while (const auto request = peer.read_request()) {
      const std::lock_guard lock(mutex);
      bodies[request->head.substr(0, request->head.find('\r'))].push_back(request->body);
      EXPECT_NE(
          request->head.find("X-Amz-Content-Sha256: " +
                             signing::hex_digest(signing::Digest::Sha256,
                                                 std::vector<std::string_view>{request->body})),
          std::string::npos);
      peer.answer(200);
    }
  });
  LargeBatch batch;
  for (const json& more : {json::object(), json{{"compression", "gzip"}}}) {
    const auto connector = create(server, more);
    const SendOutcome held = send(*connector, batch.held);
    ASSERT_TRUE(as<Delivered>(held));
    FakeSource source(batch.runs);
    batch.streamed.source = &source;
    for (int i = 0; i < 2; ++i) {
      const SendOutcome streamed = send(*connector, batch.streamed);
      ASSERT_TRUE(as<Delivered>(streamed)) << reason_of(streamed.decision);
      EXPECT_EQ(streamed.exchange->request_headers.substr(0, 40),
                held.exchange->request_headers.substr(0, 40));
      EXPECT_EQ(streamed.exchange->request_body.size(), held.exchange->request_body.size());
    }
    EXPECT_EQ(source.passes, 6) << "each time to measure, and for each of the two files";
  }
  const std::lock_guard lock(mutex);
  ASSERT_EQ(bodies.size(), 4u);
  for (const auto& [line, of_line] : bodies) {
    ASSERT_EQ(of_line.size(), 3u) << line;
    EXPECT_GT(of_line[0].size(), line.find(".gz ") == line.npos ? 200'000u : 1'000u) << line;
    EXPECT_TRUE(of_line[1] == of_line[0] && of_line[2] == of_line[0]) << line;
  }
}

TEST_F(S3ConnectorTest, RecordsThatAreLostWhileTheFileIsSentAreAFaultOfOurs) {
  std::atomic<int> whole = 0;
  const TestServer server([&](Peer& peer) {
    while (peer.read_request().has_value()) {
      ++whole;
      peer.answer(200);
    }
  });
  const auto connector = create(server);
  LargeBatch batch;
  for (const int pass : {1, 2, 3}) {
    FakeSource source(batch.runs);
    source.fails_in_pass = pass;
    batch.streamed.source = &source;
    const SendOutcome outcome = send(*connector, batch.streamed);
    ASSERT_TRUE(as<RetryLater>(outcome)) << pass;
    EXPECT_EQ(outcome.fault, Fault::Us);
    EXPECT_FALSE(outcome.answered);
    EXPECT_NE(reason_of(outcome.decision).find("a segment is gone"), std::string::npos);
    EXPECT_EQ(whole, pass == 3 ? 1 : 0) << "the other kind's file alone";
  }
}

TEST_F(S3ConnectorTest, AFileThatIsNotMadeByTheDeadlineSaysWhatHelps) {
  const TestServer server([](Peer&) {});
  const auto connector = create(server);
  LargeBatch batch;
  FakeSource source(batch.runs);
  batch.streamed.source = &source;
  const SendOutcome outcome =
      egress::testing::run(loop_, connector->send(batch.streamed, clock_.steady()));
  EXPECT_EQ(outcome.remote_status, 504);
  EXPECT_NE(reason_of(outcome.decision).find("delivery.timeout_ms"), std::string::npos);
}

TEST_F(S3ConnectorTest, FollowsTheTable) {
  std::mutex mutex;
  int status = 0;
  std::string code;
  const TestServer server([&](Peer& peer) {
    while (peer.read_request()) {
      const std::lock_guard lock(mutex);
      peer.answer(status, "", refusal(code));
    }
  });
  const auto connector = create(server);
  const auto outcome = [&](int answered, const char* with) {
    {
      const std::lock_guard lock(mutex);
      status = answered;
      code = with;
    }
    return send(*connector, both_);
  };
  EXPECT_TRUE(as<Misconfigured>(outcome(404, "NoSuchBucket")));
  EXPECT_TRUE(as<Misconfigured>(outcome(403, "AccessDenied")));
  EXPECT_TRUE(as<Misconfigured>(outcome(403, "SignatureDoesNotMatch")));
  EXPECT_TRUE(as<Misconfigured>(outcome(403, "InvalidAccessKeyId")));
  EXPECT_TRUE(as<Misconfigured>(outcome(301, "PermanentRedirect")));
  EXPECT_TRUE(as<RetryLater>(outcome(400, "RequestTimeout")));
  EXPECT_TRUE(as<RetryLater>(outcome(400, "BadDigest")));
  EXPECT_TRUE(as<RetryLater>(outcome(500, "InternalError")));
  const SendOutcome too_large = outcome(400, "EntityTooLarge");
  EXPECT_TRUE(as<Rejected>(too_large));
  EXPECT_EQ(too_large.remote_status, 413) << "fewer records may do";
  const SendOutcome skewed = outcome(403, "RequestTimeTooSkewed");
  EXPECT_TRUE(as<RetryLater>(skewed));
  EXPECT_EQ(skewed.fault, Fault::Us);
}

TEST_F(S3ConnectorTest, TheCheckAddsAPartToNoUpload) {
  std::mutex mutex;
  std::string head;
  std::string code = "NoSuchUpload";
  const TestServer server([&](Peer& peer) {
    while (const auto request = peer.read_request()) {
      const std::lock_guard lock(mutex);
      head = request->head;
      peer.answer(404, "", refusal(code));
    }
  });
  const auto connector = create(server, {{"prefix", "p/"}});
  EXPECT_TRUE(check(*connector).has_value());
  {
    const std::lock_guard lock(mutex);
    EXPECT_TRUE(
        head.starts_with("PUT /records/p/sluice-check?partNumber=1&uploadId=sluice-check HTTP/1.1"))
        << head;
    code = "NoSuchBucket";
  }
  const Result<void> missing = check(*connector);
  ASSERT_FALSE(missing.has_value());
  EXPECT_NE(missing.error().message.find("404 NoSuchBucket: its own words"), std::string::npos);
}

TEST_F(S3ConnectorTest, StreamsOfOneTargetHaveOneClaim) {
  const auto claim = [](const json& more) {
    return find_connector("S3")->claim(credentials_with(more));
  };
  EXPECT_EQ(claim({{"flush_size", 10}}), claim({{"access_key_id", "other"}}));
  EXPECT_NE(claim(json::object()), claim({{"prefix", "a"}}));
  EXPECT_NE(claim({{"prefix", "a"}}), claim({{"bucket_name", "a"}}));
  EXPECT_NE(claim(json::object()), claim({{"endpoint_url", "http://a"}}));
}

}  // namespace
}  // namespace sluice::connectors::s3
