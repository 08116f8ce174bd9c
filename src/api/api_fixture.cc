#include "api/api_fixture.h"

#include <nlohmann/json.hpp>

namespace sluice::api {
namespace {

using catalog::StreamStatus;
using dispatch::Command;
using dispatch::StreamSnapshot;

class Connector final : public connectors::Connector {
 public:
  Awaitable<connectors::SendOutcome> send(const connectors::RecordBatch& batch,
                                          connectors::Deadline) override {
    last_sent = Sent{batch, std::string(batch.runs.at(0).joined())};
    co_return send_answers;
  }
  Awaitable<Result<void>> check(connectors::Deadline) override {
    ++checks_made;
    Result<void> found;
    if (check_finds) found = *check_finds;
    co_return found;
  }
};

constexpr std::string_view kSchema = R"({"type": "Test", "label": "Test", "fields": [
  {"key": "url", "kind": "url", "required": true, "target": true},
  {"key": "headers", "kind": "headers", "default": []},
  {"key": "key", "kind": "secret"},
  {"key": "size", "kind": "integer", "default": 3000, "min": 1, "max": 10000,
   "shapes": true}]})";

Result<void> validate(const nlohmann::json& credentials) {
  if (credentials.at("url") != "ftp://a/") return {};
  return Error{ErrorCode::InvalidArgument, "destination.credentials.url: must be http or https"};
}

std::unique_ptr<connectors::Connector> make(const connectors::Destination&,
                                            const connectors::ConnectorContext&) {
  return std::make_unique<Connector>();
}

constexpr connectors::ConnectorDescriptor kDescriptor{
    .type = "Test",
    .id = 1,
    .schema_json = kSchema,
    .validate = &validate,
    .limits = [](const nlohmann::json&) { return connectors::BatchLimits{}; },
    .create = &make,
    .sends_http = true};

class Target final : public http::Responder::Target {
 public:
  void answer(std::optional<http::Response> response) override {
    promise.set_value(response ? std::move(*response) : http::Response{.status = 599});
  }
  // The first piece counts; then the client is gone.
  std::shared_ptr<http::AnswerStream> answer_in_pieces(http::Response head) override {
    answer(std::move(head));
    return nullptr;
  }
  std::promise<http::Response> promise;
};

Result<StreamSnapshot> conflict() { return Error{ErrorCode::Conflict, "not in this state"}; }

// No client is ever reached by a Connector of this file.
egress::HttpClient& no_client() {
  static std::max_align_t nothing;
  return reinterpret_cast<egress::HttpClient&>(nothing);
}

}  // namespace

const connectors::ConnectorDescriptor& test_connector() { return kDescriptor; }

void FakeDispatch::add(const catalog::Stream& stream, const std::optional<catalog::Replay>&) {
  StreamSnapshot snapshot;
  snapshot.status = stream.status;
  snapshot.next_offset = stream.start;
  set(stream.id, snapshot);
}

Awaitable<Result<StreamSnapshot>> FakeDispatch::command(StreamId stream, Command command) {
  const MutexLock lock(mutex_);
  const auto found = streams_.find(stream);
  if (found == streams_.end()) co_return Error{ErrorCode::NotFound, "no such stream"};
  StreamStatus& status = found->second.status;
  switch (command) {
    case Command::Resume:
      if (status == StreamStatus::Error) co_return conflict();
      status = StreamStatus::Running;
      break;
    case Command::Pause:
      if (status == StreamStatus::Disabled) co_return conflict();
      status = StreamStatus::Paused;
      break;
    case Command::Restart:
      if (status == StreamStatus::Paused || status == StreamStatus::Disabled) {
        co_return conflict();
      }
      status = StreamStatus::Running;
      break;
    case Command::Disable: status = StreamStatus::Disabled; break;
  }
  co_return found->second;
}

Awaitable<Result<StreamSnapshot>> FakeDispatch::skip(StreamId stream, Offset to, bool park) {
  const MutexLock lock(mutex_);
  const auto found = streams_.find(stream);
  if (found == streams_.end()) co_return Error{ErrorCode::NotFound, "no such stream"};
  const StreamStatus status = found->second.status;
  if (status != StreamStatus::Paused && status != StreamStatus::Error) {
    co_return Error{ErrorCode::Conflict, "neither paused nor in Error"};
  }
  if (!park) found->second.dropped += to.value() - found->second.next_offset.value();
  found->second.next_offset = to;
  co_return found->second;
}

Awaitable<Result<dispatch::Dispatch::Standing>> FakeDispatch::begin_hand_over(StreamId stream) {
  const MutexLock lock(mutex_);
  const auto found = streams_.find(stream);
  if (found == streams_.end()) co_return Error{ErrorCode::NotFound, "no such stream"};
  if (found->second.status == StreamStatus::Disabled) {
    co_return Error{ErrorCode::Conflict, "the stream is disabled"};
  }
  const Offset cursor = found->second.next_offset;
  co_return Standing{cursor, std::pair(cursor, plus(cursor, 2))};
}

Awaitable<Result<void>> FakeDispatch::end_hand_over(StreamId stream,
                                                    std::optional<StreamId> successor) {
  const MutexLock lock(mutex_);
  handed_over_[stream] = successor;
  if (successor) streams_[stream].status = StreamStatus::Paused;
  co_return Result<void>();
}

std::optional<StreamId> FakeDispatch::handed_over(StreamId stream) const {
  const MutexLock lock(mutex_);
  const auto found = handed_over_.find(stream);
  return found == handed_over_.end() ? std::nullopt : found->second;
}

Awaitable<Result<void>> FakeDispatch::replay(const catalog::Stream& stream,
                                             const catalog::Replay& replay) {
  const MutexLock lock(mutex_);
  replays_[stream.id] = replay;
  co_return Result<void>();
}

Awaitable<Result<void>> FakeDispatch::cancel_replay(StreamId stream, ReplayId replay) {
  const MutexLock lock(mutex_);
  const auto found = replays_.find(stream);
  if (found == replays_.end() || found->second.id != replay) {
    co_return Error{ErrorCode::NotFound, "it has ended"};
  }
  replays_.erase(found);
  co_return Result<void>();
}

std::optional<dispatch::ReplayProgress> FakeDispatch::replay_progress(StreamId stream) const {
  const MutexLock lock(mutex_);
  const auto found = replays_.find(stream);
  if (found == replays_.end()) return std::nullopt;
  return dispatch::ReplayProgress{found->second.id, true, "slow", 9, 3, 1};
}

std::optional<catalog::Replay> FakeDispatch::replay_under_way(StreamId stream) const {
  const MutexLock lock(mutex_);
  const auto found = replays_.find(stream);
  return found == replays_.end() ? std::nullopt : std::optional(found->second);
}

Awaitable<Result<StreamSnapshot>> FakeDispatch::change(const catalog::Stream& changed) {
  const MutexLock lock(mutex_);
  const auto found = streams_.find(changed.id);
  if (found == streams_.end()) co_return Error{ErrorCode::NotFound, "no such stream"};
  changes_.push_back(changed);
  StreamStatus& status = found->second.status;
  if (status == StreamStatus::Error) status = StreamStatus::Running;
  co_return found->second;
}

std::vector<catalog::Stream> FakeDispatch::changes() const {
  const MutexLock lock(mutex_);
  return changes_;
}

Awaitable<Result<void>> FakeDispatch::remove(StreamId stream) {
  const MutexLock lock(mutex_);
  streams_.erase(stream);
  Result<void> done;
  co_return done;
}

std::optional<StreamSnapshot> FakeDispatch::snapshot(StreamId stream) const {
  const MutexLock lock(mutex_);
  const auto found = streams_.find(stream);
  return found == streams_.end() ? std::nullopt : std::optional(found->second);
}

void FakeDispatch::set(StreamId stream, StreamSnapshot snapshot) {
  const MutexLock lock(mutex_);
  streams_.insert_or_assign(stream, std::move(snapshot));
}

std::size_t FakeDispatch::size() const {
  const MutexLock lock(mutex_);
  return streams_.size();
}

ApiTest::ApiTest(Settings settings)
    : connectors_{&kDescriptor},
      contexts_{{no_client(), clock, "installation", nullptr, &issuer_}} {
  check_finds.reset();
  checks_made = 0;
  send_answers = {};
  last_sent.reset();
  std::string pattern = (std::filesystem::temp_directory_path() / "api-XXXXXX").string();
  directory_ = ::mkdtemp(pattern.data());
  catalog = *catalog::open_sqlite(directory_ + "/catalog.db", secrets);
  const std::vector<catalog::Organisation> organisations = {{OrganisationId{1}, "One"},
                                                            {OrganisationId{2}, "Two"}};
  EXPECT_TRUE(catalog->register_organisations(organisations));
  replays = *catalog::open_sqlite_replays(directory_ + "/catalog.db");
  dead_letters = *catalog::open_dead_letters(directory_ + "/dead-letters.db", {}, metrics);
  quarantine = *catalog::open_quarantine(directory_ + "/quarantine.db", 1 << 20, metrics);
  attempts = catalog::open_attempts({.path = directory_ + "/attempts.db"}, {}, metrics);
  registry = *catalog::open_sqlite_registry(directory_ + "/catalog.db");
  application_tokens = std::make_unique<ApplicationTokens>(
      ApplicationTokens::Dependencies{*registry, secrets, clock, metrics}, 3);
  threads_ = std::make_unique<IoThreads>(1);
  pool_ = std::make_unique<WorkerPool>("catalog", 2);
  api_ = std::make_unique<Api>(
      settings,
      Dependencies{*threads_, clock, *catalog, *registry, *application_tokens, *pool_, dispatch,
                   log, ingest, metrics, connectors_, contexts_, *quarantine, *dead_letters,
                   *replays, *attempts},
      TokenKey{});
  threads_->start();
}

ApiTest::~ApiTest() {
  threads_->stop_and_join();
  pool_.reset();
  threads_.reset();
  api_.reset();
  application_tokens.reset();
  registry.reset();
  catalog.reset();
  quarantine.reset();
  dead_letters.reset();
  replays.reset();
  attempts.reset();
  std::filesystem::remove_all(directory_);
}

http::Response ApiTest::send(const Call& call) {
  const auto target = std::make_shared<Target>();
  std::future<http::Response> answered = target->promise.get_future();
  http::RequestHead head;
  const std::size_t question = std::min(call.target.find('?'), call.target.size());
  head.method = call.method;
  head.admin = call.admin;
  head.remote_address = call.remote_address;
  head.path = std::string_view(call.target).substr(0, question);
  head.query = std::string_view(call.target).substr(std::min(question + 1, call.target.size()));
  const std::string authorization = "Bearer " + call.token;
  if (!call.token.empty()) head.headers.emplace_back("Authorization", authorization);
  for (const auto& [name, value] : call.headers) head.headers.emplace_back(name, value);
  boost::asio::post(threads_->loop(0), [&] {
    auto decision = api_->on_head(head);
    if (auto* response = std::get_if<http::Response>(&decision)) {
      return target->answer(std::move(*response));
    }
    auto storage = std::make_unique<char[]>(call.body.size() + http::Body::kPadding);
    std::copy(call.body.begin(), call.body.end(), storage.get());
    api_->on_request(head, http::Body(std::move(storage), call.body.size()),
                     http::Responder(target));
  });
  return answered.get();
}

std::string ApiTest::token(Role role, std::uint64_t organisation) const {
  Identity identity{"tester", std::nullopt, role};
  if (organisation != 0) identity.organisation = OrganisationId{organisation};
  return sign_token(TokenKey{}, identity, clock.now(), WallTime{clock.now().ms + 60'000});
}

http::Response ApiTest::send(Role role, std::uint64_t organisation, Call call) {
  call.token = token(role, organisation);
  return send(call);
}

nlohmann::json ApiTest::expect(int status, const http::Response& response) {
  EXPECT_EQ(response.status, status) << response.body;
  return response.status == status ? nlohmann::json::parse(response.body) : nlohmann::json();
}

std::string ApiTest::expect_token(const http::Response& response) {
  const nlohmann::json body = nlohmann::json::parse(response.body);
  EXPECT_EQ(body.at("error_code").get<int>() / 10, response.status) << response.body;
  EXPECT_FALSE(body.at("message").get<std::string>().empty());
  return body.at("error_token");
}

std::string ApiTest::body_for(const std::string& more) {
  return R"({"data_stream_type": {"id": 1}, "destination": {"connection_type": "Test",
             "credentials": {"url": "http://a/", "headers": ["X-Key: s3cret"], "key": "s3cret"}})" +
         more + "}";
}

nlohmann::json ApiTest::create(std::uint64_t organisation) {
  return expect(201, send(Role::Admin, organisation,
                          {.method = "POST", .target = "/api/v2/data_stream", .body = body_for()}));
}

}  // namespace sluice::api
