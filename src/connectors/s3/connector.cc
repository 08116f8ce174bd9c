#include "connectors/connector.h"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "base/units.h"
#include "connectors/common/aws/client.h"
#include "connectors/common/failure.h"
#include "connectors/common/settings.h"
#include "connectors/s3/config.h"
#include "connectors/s3/file.h"
#include "connectors/s3/schema.h"
#include "connectors/s3/streamed_file.h"

namespace sluice::connectors::s3 {
namespace {

// Amazon S3 API Reference, PutObject: at most 5 GB. A file has `flush_size` records, however large,
// up to this. What is made of them may be somewhat larger; should S3 refuse it, the batch is
// halved.
constexpr std::uint64_t kFileBytesMax = 5 * kGiB;
// Files of up to this are made once and lie in memory until they are delivered; larger ones are
// made while they are sent.
constexpr std::uint64_t kHeldBytesMax = 8 * kMiB;

constexpr std::string_view kEmptySha256 =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

class S3Connector final : public Connector {
 public:
  S3Connector(Config config, const Destination& destination, const ConnectorContext& context)
      : config_(std::move(config)),
        clock_(context.clock),
        client_(aws::client_options("s3", config_.aws, destination), context) {}

  // Both kinds' files are written again where one of them was not: they are the same.
  Awaitable<SendOutcome> send(const RecordBatch& batch, Deadline deadline) override {
    if (batch.source != nullptr) {
      SendOutcome outcome = co_await send_streamed(batch, deadline);
      co_return outcome;
    }
    SendOutcome outcome{Delivered{}, 200, true};
    for (const Kind kind : {Kind::Usage, Kind::Event}) {
      const std::optional<FirstRecord> first = first_of(batch, kind);
      if (!first) continue;
      const std::string key = key_of(config_, batch, kind, *first);
      outcome = co_await put(key, batch, kind, deadline);
      if (!std::holds_alternative<Delivered>(outcome.decision)) break;
    }
    co_return outcome;
  }

  // A part of an upload that there is not: the service looks for it once it knows who asks, and
  // that he may put objects here, and then stores nothing.
  Awaitable<Result<void>> check(Deadline deadline) override {
    aws::Call call{.method = "PUT",
                   .url = object_url(config_, config_.prefix + "sluice-check") +
                          "?partNumber=1&uploadId=sluice-check",
                   .headers = {{"X-Amz-Content-Sha256", std::string(kEmptySha256)}},
                   .body = {},
                   .body_sha256 = std::string(kEmptySha256),
                   .name = "UploadPart"};
    const aws::Answer answer = co_await client_.perform(std::move(call), deadline);
    const bool refused_it = answer.error.code == "NoSuchUpload";
    // Stand-ins for S3 that do not know this answer fail behind the same looks.
    const bool lost_it =
        answer.outcome.remote_status == 500 && answer.outcome.answered && answer.error.code.empty();
    if (refused_it || lost_it) co_return Result<void>{};
    co_return as_check(answer.outcome);
  }

 private:
  Awaitable<SendOutcome> put(std::string key, const RecordBatch& batch, Kind kind,
                             Deadline deadline) {
    FileWriter file(config_, kind);
    const auto executor = co_await boost::asio::this_coro::executor;
    std::uint64_t bytes = 0;
    for (const RecordRun& run : batch.runs) {
      if (run.chunk->kind != kind) continue;
      for (std::uint32_t i = run.begin; i < run.end; ++i) {
        file.append(run.chunk->record(i));
        bytes += run.chunk->record(i).size();
        if (bytes < kBytesATurn) continue;
        bytes = 0;
        co_await boost::asio::post(executor, boost::asio::use_awaitable);
      }
    }
    file.finish();
    aws::Call call = put_object(key, file.sha256());
    call.body = {file.blocks().begin(), file.blocks().end()};
    aws::Answer answer = co_await client_.perform(std::move(call), deadline);
    co_return std::move(answer.outcome);
  }

  // The same for a batch that is not held.
  Awaitable<SendOutcome> send_streamed(const RecordBatch& batch, Deadline deadline) {
    RecordSource& records = *batch.source;
    const Result<std::vector<FileFacts>> files =
        co_await measure(config_, records, clock_, deadline);
    if (!files.has_value()) {
      const bool late = files.error().code == ErrorCode::Timeout;  // by the stream's own settings
      co_return failed(files.error(), late ? Fault::Destination : Fault::Us, "PutObject");
    }
    SendOutcome outcome{Delivered{}, 200, true};
    for (const FileFacts& file : *files) {
      FileBody body(config_, file.kind, records);
      aws::Call call = put_object(key_of(config_, batch, file.kind, file.first), file.sha256);
      call.body_source = &body;
      call.body_source_bytes = file.bytes;
      call.plain_body = file.beginning;
      aws::Answer answer = co_await client_.perform(std::move(call), deadline);
      outcome = std::move(answer.outcome);
      if (!std::holds_alternative<Delivered>(outcome.decision)) break;
    }
    co_return outcome;
  }

  aws::Call put_object(const std::string& key, const std::string& sha256) const {
    aws::Call call{.method = "PUT",
                   .url = object_url(config_, key),
                   .headers = {{"Content-Type", std::string(content_type(config_))},
                               {"X-Amz-Content-Sha256", sha256}},
                   .body_sha256 = sha256,
                   .name = "PutObject"};
    if (!config_.encryption.empty()) {
      call.headers.emplace_back("X-Amz-Server-Side-Encryption", config_.encryption);
    }
    if (!config_.kms_key_id.empty()) {
      call.headers.emplace_back("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", config_.kms_key_id);
    }
    return call;
  }

  const Config config_;
  const Clock& clock_;
  aws::Client client_;
};

BatchLimits limits(const nlohmann::json& credentials) {
  const Result<Config> config = read_config(credentials);
  if (!config.has_value()) return {};
  return {config->flush_size, kFileBytesMax, config->rotate_interval, kHeldBytesMax};
}

std::unique_ptr<Connector> create(const Destination& destination, const ConnectorContext& context) {
  const nlohmann::json& credentials = destination.settings.at("credentials");
  Result<Config> config = read_config(credentials);
  if (!config.has_value()) return make_unusable(config.error());
  const Result<aws::Settings> usable = aws::usable_settings(credentials);
  if (!usable.has_value()) return make_unusable(usable.error());
  const bool csv = destination.settings.value("format", "Csv") == "Csv";
  config->format = csv ? Format::Csv : Format::Lines;
  return std::make_unique<S3Connector>(*std::move(config), destination, context);
}

// Streams of one kind that write under the same name overwrite each other's files.
std::string claim(const nlohmann::json& credentials) {
  return nlohmann::json({credentials.value("endpoint_url", ""),
                         credentials.value("bucket_name", ""), credentials.value("prefix", "")})
      .dump();
}

constexpr std::array<std::string_view, 3> kFormats = {"Csv", "JsonLines", "Json"};

}  // namespace

extern constinit const ConnectorDescriptor kDescriptor;
constinit const ConnectorDescriptor kDescriptor{
    .type = "S3",
    .id = 2,
    .schema_json = kSchemaJson,
    .validate = &validate_by<read_config>,
    .limits = &limits,
    .create = &create,
    .formats = kFormats,
    .claim = &claim,
};

}  // namespace sluice::connectors::s3
