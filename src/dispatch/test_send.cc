#include "dispatch/test_send.h"

#include <fmt/format.h>

#include <array>
#include <memory>
#include <random>
#include <utility>

#include "dispatch/attempt_of.h"

namespace sluice::dispatch {
namespace {

// A chunk of one record that owns what its views point into.
struct OneRecord {
  std::string text;
  std::array<std::uint32_t, 2> starts{};
  RecordColumns columns;
  recordlog::Chunk chunk;
};

std::shared_ptr<const recordlog::Chunk> chunk_of(std::string record, Kind kind,
                                                 OrganisationId organisation, WallTime now) {
  auto one = std::make_shared<OneRecord>();
  one->text = std::move(record);
  one->starts[1] = static_cast<std::uint32_t>(one->text.size()) + 1;
  one->columns.time_ms = now.ms;
  one->chunk.organisation = organisation;
  one->chunk.kind = kind;
  one->chunk.stored = now;
  one->chunk.joined = one->text;
  one->chunk.starts = one->starts;
  one->chunk.columns = {&one->columns, 1};
  return {one, &one->chunk};
}

// Different from each other and from every batch's.
std::string test_id(StreamId stream) {
  std::random_device random;
  const std::uint64_t number = (std::uint64_t{random()} << 32) | random();
  return fmt::format("{}-test-{:016x}", stream.value(), number);
}

}  // namespace

Awaitable<Result<Attempt>> send_test(catalog::Stream stream, Kind kind, std::string record,
                                     FindConnector find_connector,
                                     connectors::ConnectorContext context) {
  const StreamSetup setup = set_up(stream, find_connector, context);
  if (!setup.make_connector) {
    co_return Error{ErrorCode::Conflict, setup.settings.unusable};
  }
  const WallTime time = context.clock.now();
  connectors::RecordBatch batch;
  batch.stream = stream.id;
  batch.organisation = stream.organisation;
  batch.webhook_id = test_id(stream.id);
  batch.test = true;
  batch.records = 1;
  batch.bytes = record.size();
  batch.runs.push_back({chunk_of(std::move(record), kind, stream.organisation, time), 0, 1});

  const SteadyTime begun = context.clock.steady();
  const std::unique_ptr<connectors::Connector> connector = setup.make_connector();
  const connectors::SendOutcome outcome =
      co_await connector->send(batch, begun + setup.settings.delivery.timeout);
  const auto latency =
      std::chrono::duration_cast<std::chrono::microseconds>(context.clock.steady() - begun);
  co_return attempt_of(batch, outcome, time, latency);
}

}  // namespace sluice::dispatch
