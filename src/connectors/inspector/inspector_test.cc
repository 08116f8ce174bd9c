#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <map>
#include <nlohmann/json.hpp>

#include "connectors/connector.h"
#include "connectors/exchange.h"
#include "connectors/inspector/store.h"
#include "egress/http_client.h"
#include "egress/testing/run.h"

namespace sluice::connectors::inspector {
namespace {

constexpr StreamId kStream{7};

class FixedClock final : public Clock {
 public:
  WallTime now() const override { return {1'795'291'200'000}; }
  SteadyTime steady() const override { return {}; }
};

KeptDelivery delivery(std::uint64_t number, std::size_t body_bytes = 10) {
  return {.webhook_id = std::to_string(number), .body = std::string(body_bytes, 'x')};
}

std::vector<std::string> ids(const std::vector<Store::Kept>& kept) {
  std::vector<std::string> result;
  for (const Store::Kept& one : kept) result.push_back(one->webhook_id);
  return result;
}

using Ids = std::vector<std::string>;

TEST(InspectorStore, ShowsTheNewestFirstPageByPage) {
  Metrics metrics;
  Store store(metrics);
  EXPECT_TRUE(store.newest(kStream, {}, 10).empty());
  for (std::uint64_t i = 1; i <= 5; ++i) {
    store.add(kStream, delivery(i));
    store.add(StreamId{8}, delivery(100 + i));
  }
  const auto page = store.newest(kStream, {}, 2);
  EXPECT_EQ(ids(page), (Ids{"5", "4"}));
  store.add(kStream, delivery(6));  // does not shift the pages
  const auto second = store.newest(kStream, page.back()->id, 2);
  EXPECT_EQ(ids(second), (Ids{"3", "2"}));
  EXPECT_EQ(ids(store.newest(kStream, second.back()->id, 2)), (Ids{"1"}));
  EXPECT_TRUE(store.newest(kStream, 0, 2).empty());
}

TEST(InspectorStore, KeepsTheLastThousandOfAStream) {
  Metrics metrics;
  Store store(metrics);
  store.add(StreamId{8}, delivery(0));
  for (std::uint64_t i = 1; i <= kDeliveriesMax + 5; ++i) store.add(kStream, delivery(i));
  const auto kept = store.newest(kStream, {}, 10'000);
  ASSERT_EQ(kept.size(), kDeliveriesMax);
  EXPECT_EQ(kept.back()->webhook_id, "6");
  EXPECT_EQ(store.newest(StreamId{8}, {}, 1).size(), 1u);
}

TEST(InspectorStore, BeyondItsBytesTheOldestOfAllGo) {
  Metrics metrics;
  Store store(metrics, 10'000);
  Gauge gauge = metrics.gauge("sluice_inspector_kept_bytes", "");
  store.add(StreamId{8}, delivery(0, 3000));
  store.add(kStream, delivery(1, 3000));
  store.add(kStream, delivery(2, 3000));
  EXPECT_EQ(store.newest(StreamId{8}, {}, 1).size(), 1u);
  store.add(kStream, delivery(3, 3000));
  EXPECT_TRUE(store.newest(StreamId{8}, {}, 1).empty());
  EXPECT_EQ(ids(store.newest(kStream, {}, 10)).front(), "3");
  EXPECT_LE(gauge.value(), 10'000);
  store.add(kStream, delivery(4, 20'000));  // even when nothing fits
  EXPECT_TRUE(store.newest(kStream, {}, 10).empty());
  EXPECT_EQ(gauge.value(), 0);
  store.add(kStream, delivery(5));
  EXPECT_EQ(ids(store.newest(kStream, {}, 10)), (Ids{"5"}));
}

TEST(InspectorStore, ForgetsAStream) {
  Metrics metrics;
  Store store(metrics);
  store.add(kStream, delivery(1));
  store.add(StreamId{8}, delivery(2));
  store.forget(kStream);
  store.forget(kStream);
  EXPECT_TRUE(store.newest(kStream, {}, 10).empty());
  store.forget(StreamId{8});
  EXPECT_EQ(metrics.gauge("sluice_inspector_kept_bytes", "").value(), 0);
}

class InspectorConnector : public testing::Test {
 protected:
  // A batch of these records; sent, and what the store then has of it.
  Store::Kept deliver(const std::vector<std::string>& records) {
    auto chunk = std::make_shared<recordlog::Chunk>();
    chunk->first = Offset{100};
    joined_.clear();
    starts_.clear();
    for (const std::string& record : records) {
      starts_.push_back(static_cast<std::uint32_t>(joined_.size()));
      joined_ += record + ",";
    }
    starts_.push_back(static_cast<std::uint32_t>(joined_.size()));
    joined_.pop_back();
    columns_.resize(records.size());
    chunk->joined = joined_;
    chunk->starts = starts_;
    chunk->columns = columns_;
    RecordBatch batch;
    batch.stream = kStream;
    batch.organisation = OrganisationId{1};
    batch.webhook_id = "7-1-100-101";
    batch.first = Offset{100};
    batch.last = Offset{101};
    batch.previous = Offset{98};
    batch.attempt = 2;
    batch.records = static_cast<std::uint32_t>(records.size());
    batch.runs = {{chunk, 0, batch.records}};

    const nlohmann::json settings = {{"connection_type", "Inspector"},
                                     {"credentials", nlohmann::json::object()}};
    const ConnectorDescriptor* type = find_connector("Inspector");
    EXPECT_TRUE(type->validate(settings.at("credentials")).has_value());
    const auto connector = type->create({OrganisationId{1}, kStream, settings}, context_);
    const SendOutcome outcome = egress::testing::run(loop_, connector->send(batch, Deadline{}));
    EXPECT_TRUE(std::holds_alternative<Delivered>(outcome.decision));
    EXPECT_EQ(outcome.remote_status, 200);
    const auto kept = store_.newest(kStream, {}, 1);
    return kept.empty() ? nullptr : kept.front();
  }

  boost::asio::io_context loop_;
  FixedClock clock_;
  Metrics metrics_;
  Store store_{metrics_};
  egress::HttpClient http_{loop_, clock_, {}};
  ConnectorContext context_{http_, clock_, "here", &store_};
  std::string joined_;
  std::vector<std::uint32_t> starts_;
  std::vector<RecordColumns> columns_;
};

TEST_F(InspectorConnector, KeepsWhatAWebhookWouldHaveReceived) {
  const Store::Kept kept = deliver({R"({"id":1})", R"({"id":2})"});
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(kept->time, clock_.now());
  EXPECT_EQ(kept->webhook_id, "7-1-100-101");
  EXPECT_EQ(kept->first, Offset{100});
  EXPECT_EQ(kept->last, Offset{101});
  EXPECT_EQ(kept->records, 2u);
  EXPECT_EQ(kept->body, R"([{"id":1},{"id":2}])");
  EXPECT_EQ(kept->body_bytes, kept->body.size());
  const std::map<std::string, std::string> headers(kept->headers.begin(), kept->headers.end());
  EXPECT_EQ(headers.at("Content-Type"), "application/json");
  EXPECT_EQ(headers.at("webhook-id"), "7-1-100-101");
  EXPECT_EQ(headers.at("X-Sluice-Previous"), "98");
  EXPECT_EQ(headers.at("X-Sluice-Attempt"), "2");
  EXPECT_EQ(headers.at("X-Sluice-Hops"), "here:1");
}

TEST_F(InspectorConnector, CutsTheBodyBetweenCharacters) {
  for (std::size_t shift = 0; shift < 3; ++shift) {
    std::string record = R"({"id":")" + std::string(shift, 'x');
    while (record.size() < 2 * kShownBodyBytesMax) record += "\u20ac";  // three bytes
    record += "\"}";
    const Store::Kept kept = deliver({record});
    ASSERT_NE(kept, nullptr);
    EXPECT_EQ(kept->body_bytes, record.size() + 2);
    EXPECT_LE(kept->body.size(), kShownBodyBytesMax);
    EXPECT_GT(kept->body.size(), kShownBodyBytesMax - 3);
    EXPECT_TRUE(kept->body.ends_with("\u20ac"));
  }
}

}  // namespace
}  // namespace sluice::connectors::inspector
