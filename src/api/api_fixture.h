#pragma once
// An Api on one loop, with a real catalog in a temporary directory and stand-ins for what lies
// around it. For the tests of this folder.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/api.h"
#include "base/mutex.h"
#include "http/error_answer.h"
#include "http/responder_target.h"
#include "signing/issuer.h"

namespace sluice::api {

class FixedClock final : public Clock {
 public:
  WallTime now() const override { return {1'795'291'200'000}; }  // 2026-11-21T20:00:00Z
  SteadyTime steady() const override { return SteadyTime(std::chrono::hours(1)); }
};

// Keeps each stream's state as delivery.md says it moves.
class FakeDispatch final : public dispatch::Dispatch {
 public:
  void add(const catalog::Stream& stream,
           const std::optional<catalog::Replay>& replay = std::nullopt) override;
  Awaitable<Result<dispatch::StreamSnapshot>> command(StreamId stream,
                                                      dispatch::Command command) override;
  Awaitable<Result<dispatch::StreamSnapshot>> skip(StreamId stream, Offset to, bool park) override;
  Awaitable<Result<Standing>> begin_hand_over(StreamId stream) override;
  Awaitable<Result<void>> end_hand_over(StreamId stream,
                                        std::optional<StreamId> successor) override;
  Awaitable<Result<void>> replay(const catalog::Stream& stream,
                                 const catalog::Replay& replay) override;
  Awaitable<Result<void>> cancel_replay(StreamId stream, ReplayId replay) override;
  std::optional<dispatch::ReplayProgress> replay_progress(StreamId stream) const override;
  Awaitable<Result<dispatch::StreamSnapshot>> change(const catalog::Stream& changed) override;
  Awaitable<Result<void>> remove(StreamId stream) override;
  std::optional<dispatch::StreamSnapshot> snapshot(StreamId stream) const override;
  void stop(std::uint32_t) override {}

  std::optional<catalog::Replay> replay_under_way(StreamId stream) const;
  void set(StreamId stream, dispatch::StreamSnapshot snapshot);
  std::optional<StreamId> handed_over(StreamId stream) const;  // what end_hand_over() was told
  std::vector<catalog::Stream> changes() const;                // what change() was given
  std::size_t size() const;

 private:
  mutable Mutex mutex_;
  std::map<StreamId, dispatch::StreamSnapshot> streams_ SLUICE_GUARDED_BY(mutex_);
  std::vector<catalog::Stream> changes_ SLUICE_GUARDED_BY(mutex_);
  std::map<StreamId, std::optional<StreamId>> handed_over_ SLUICE_GUARDED_BY(mutex_);
  std::map<StreamId, catalog::Replay> replays_ SLUICE_GUARDED_BY(mutex_);
};

class FakeLog final : public recordlog::RecordLog {
 public:
  void append(recordlog::AppendRequest, recordlog::AppendDone) override {}
  void set_observer(recordlog::AppendObserver*) override {}
  std::unique_ptr<recordlog::Reader> reader(OrganisationId, KindSet) override {
    struct FindsNothing final : recordlog::Reader {
      Result<recordlog::ReadResult> read(Offset from) override {
        recordlog::ReadResult result;
        result.resume = from;
        return result;
      }
    };
    return std::make_unique<FindsNothing>();
  }
  Offset end(OrganisationId) const override { return Offset{42}; }
  Result<Offset> offset_at(OrganisationId, WallTime time) override {
    asked_for = time;
    return Offset{7};
  }
  std::vector<recordlog::StoredPiece> stored_pieces(
      const std::array<std::uint8_t, 16>&) const override {
    return {};
  }
  recordlog::Statistics statistics() const override { return {}; }
  Result<void> health() const override {
    if (fault.load() == nullptr) return {};
    return Error{ErrorCode::Corruption, fault.load()};
  }

  std::optional<WallTime> asked_for;
  std::atomic<const char*> fault = nullptr;
};

// Answers with what it was told.
class FakeIngest final : public ingest::Ingest {
 public:
  std::optional<http::Response> refuse(const http::RequestHead& head, const Identity&) override {
    if (head.header("content-type") != "text/plain") return std::nullopt;
    return http::error_response(http::ErrorToken::UnsupportedMediaType, "no");
  }
  void handle(const http::RequestHead&, Kind kind, const Identity& identity, http::Body body,
              http::Responder responder) override {
    std::move(responder).send({.body = std::string(path_name(kind)) + " " + identity.subject + " " +
                                       std::string(body.view())});
  }
  void take(ingest::SourceRun, Taken) override {}
  std::optional<ingest::StoredRun> newest_run(std::string_view) const override { return {}; }
};

// The connection type "Test". What a check finds is set by a test.
const connectors::ConnectorDescriptor& test_connector();
inline std::optional<Error> check_finds;
inline std::atomic<int> checks_made = 0;
// What send() answers, and what it was given last. Written and read while nothing is under way.
inline connectors::SendOutcome send_answers;
struct Sent {
  connectors::RecordBatch batch;
  std::string body;
};
inline std::optional<Sent> last_sent;

struct Call {
  std::string method;
  std::string target;
  std::string body = "";
  std::string token = "";
  std::vector<std::pair<std::string, std::string>> headers = {};
  bool admin = false;  // comes to the admin's listener
  std::string remote_address = "192.0.2.1";
};

class ApiTest : public testing::Test {
 public:
  ~ApiTest() override;

 protected:
  explicit ApiTest(Settings settings = {});

  http::Response send(const Call& call);
  // With a token of `role`; organisation 0: bound to none.
  http::Response send(Role role, std::uint64_t organisation, Call call);
  std::string token(Role role, std::uint64_t organisation) const;

  // The answer's JSON; null and a failed test when it has another status.
  nlohmann::json expect(int status, const http::Response& response);
  std::string expect_token(const http::Response& response);  // its error_token
  nlohmann::json create(std::uint64_t organisation = 1);
  static std::string body_for(const std::string& more = "");

  WorkerPool& catalog_pool() { return *pool_; }

  FixedClock clock;
  Metrics metrics;
  FakeDispatch dispatch;
  FakeLog log;
  FakeIngest ingest;
  std::unique_ptr<catalog::Catalog> catalog;
  std::unique_ptr<catalog::Quarantine> quarantine;
  std::unique_ptr<catalog::DeadLetters> dead_letters;
  std::unique_ptr<catalog::Replays> replays;
  std::unique_ptr<catalog::AttemptLog> attempts;
  std::unique_ptr<catalog::Registry> registry;
  const catalog::SecretBox secrets{KeyBytes{}};
  std::unique_ptr<ApplicationTokens> application_tokens;

 private:
  std::string directory_;
  std::vector<const connectors::ConnectorDescriptor*> connectors_;
  const signing::Issuer issuer_ = *signing::Issuer::from_pem(signing::Issuer::generate());
  std::vector<connectors::ConnectorContext> contexts_;
  std::unique_ptr<IoThreads> threads_;
  std::unique_ptr<WorkerPool> pool_;
  std::unique_ptr<Api> api_;
};

}  // namespace sluice::api
