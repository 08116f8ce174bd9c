#include "egress/resolver.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <optional>

#include "egress/testing/run.h"
#include "egress/testing/test_dns.h"

namespace sluice::egress {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using testing::TestDns;

// Runs on with the real clock, and can be put forward.
class MovableClock final : public Clock {
 public:
  WallTime now() const override { return real_.now(); }
  SteadyTime steady() const override { return real_.steady() + ahead_; }
  void advance(std::chrono::seconds by) { ahead_ += by; }

 private:
  SystemClock real_;
  std::chrono::seconds ahead_{0};
};

Addresses list(std::initializer_list<const char*> texts) {
  Addresses addresses;
  for (const char* text : texts) addresses.push_back(asio::ip::make_address(text));
  return addresses;
}

std::optional<Addresses> zone(const std::string& name) {
  if (name == "one.example") return list({"192.0.2.1"});
  if (name == "both.example") return list({"192.0.2.1", "192.0.2.2", "2001:db8::1"});
  if (name.ends_with("tarpit.example")) return std::nullopt;
  return Addresses{};
}

struct Fixture {
  explicit Fixture(TestDns::Answer answer = zone, Resolver::Options options = {})
      : dns(std::move(answer)), resolver(loop, clock, [&] {
          options.servers = dns.servers();
          return options;
        }()) {}

  Result<Addresses> resolve(std::string host, std::uint64_t organisation = 1,
                            std::chrono::milliseconds time = 10s) {
    return testing::run(loop, resolver.resolve(std::move(host), OrganisationId{organisation},
                                               clock.steady() + time));
  }

  asio::io_context loop{1};
  MovableClock clock;
  TestDns dns;
  Resolver resolver;
};

TEST(Resolver, FindsIPv4AndIPv6) {
  Fixture f;
  Result<Addresses> found = f.resolve("both.example");
  ASSERT_TRUE(found.has_value()) << found.error().message;
  std::sort(found->begin(), found->end());
  EXPECT_EQ(*found, list({"192.0.2.1", "192.0.2.2", "2001:db8::1"}));
  found = f.resolve("one.example");
  ASSERT_TRUE(found.has_value()) << found.error().message;
  EXPECT_EQ(*found, list({"192.0.2.1"}));
}

TEST(Resolver, ReadsTheHostsFile) {
  Fixture f;
  const Result<Addresses> found = f.resolve("localhost");
  ASSERT_TRUE(found.has_value()) << found.error().message;
  EXPECT_NE(std::find(found->begin(), found->end(), asio::ip::make_address("127.0.0.1")),
            found->end());
  EXPECT_EQ(f.dns.queries(), 0);
}

TEST(Resolver, AnUnknownNameIsUnavailable) {
  Fixture f;
  const Result<Addresses> found = f.resolve("nowhere.example");
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().code, ErrorCode::Unavailable);
  EXPECT_EQ(found.error().message, "DNS knows no nowhere.example");
}

TEST(Resolver, RemembersAnswersForTheirTimeAndThenAsksAgain) {
  std::atomic<int> round = 1;
  Fixture f(
      [&round](const std::string&) { return list({round == 1 ? "192.0.2.1" : "192.0.2.2"}); });
  EXPECT_EQ(*f.resolve("a.example"), list({"192.0.2.1"}));
  const int queries = f.dns.queries();
  round = 2;
  f.clock.advance(59s);
  EXPECT_EQ(*f.resolve("a.example", 2), list({"192.0.2.1"}));
  EXPECT_EQ(f.dns.queries(), queries);
  f.clock.advance(2s);
  EXPECT_EQ(*f.resolve("a.example"), list({"192.0.2.2"}));
}

TEST(Resolver, RemembersFailuresBriefly) {
  Fixture f;
  EXPECT_FALSE(f.resolve("nowhere.example").has_value());
  const int queries = f.dns.queries();
  EXPECT_FALSE(f.resolve("nowhere.example").has_value());
  EXPECT_EQ(f.dns.queries(), queries);
  f.clock.advance(6s);
  EXPECT_FALSE(f.resolve("nowhere.example").has_value());
  EXPECT_GT(f.dns.queries(), queries);
}

TEST(Resolver, ForgetsWhenItRemembersTooMuch) {
  Resolver::Options options;
  options.cache_entries_max = 3;
  Fixture f([](const std::string&) { return list({"192.0.2.1"}); }, options);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(f.resolve(fmt::format("n{}.example", i)).has_value());
  }
  const int queries = f.dns.queries();
  EXPECT_TRUE(f.resolve("n9.example").has_value());
  EXPECT_EQ(f.dns.queries(), queries);
  EXPECT_TRUE(f.resolve("n0.example").has_value());
  EXPECT_GT(f.dns.queries(), queries);
}

TEST(Resolver, KeepsTheDeadline) {
  Fixture f;
  const Result<Addresses> found = f.resolve("tarpit.example", 1, 50ms);
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().code, ErrorCode::Timeout);
  EXPECT_EQ(f.resolve("tarpit.example", 1, -1s).error().code, ErrorCode::Timeout);
}

// Names that never get an answer use up one organisation's places, nobody else's.
TEST(Resolver, ATarpitHoldsUpItsOwnOrganisationAlone) {
  Resolver::Options options;
  options.lookups_per_organisation_max = 5;
  Fixture f(zone, options);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(f.resolve(fmt::format("{}.tarpit.example", i), 1, 20ms).error().code,
              ErrorCode::Timeout);
  }
  const Result<Addresses> full = f.resolve("one.example", 1);
  ASSERT_FALSE(full.has_value());
  EXPECT_EQ(full.error().code, ErrorCode::Unavailable);
  EXPECT_NE(full.error().message.find("5 look-ups"), std::string::npos) << full.error().message;
  // Waiting for a look-up that is under way takes no place.
  EXPECT_EQ(f.resolve("0.tarpit.example", 1, 20ms).error().code, ErrorCode::Timeout);
  EXPECT_TRUE(f.resolve("one.example", 2).has_value());
  EXPECT_TRUE(f.resolve("one.example", 1).has_value());  // remembered now
}

TEST(Resolver, OneLookupServesAllWhoWait) {
  Fixture f;
  std::array<std::optional<Result<Addresses>>, 20> results;
  std::size_t ended = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    asio::co_spawn(
        f.loop,
        testing::store(f.resolver.resolve("one.example", OrganisationId{i}, f.clock.steady() + 10s),
                       results[i]),
        [&](std::exception_ptr) {
          if (++ended == results.size()) f.loop.stop();
        });
  }
  f.loop.run();
  for (const auto& result : results) EXPECT_TRUE(result->has_value());
  EXPECT_LE(f.dns.queries(), 2);
}

TEST(Resolver, CanBeCancelled) {
  Fixture f;
  asio::cancellation_signal signal;
  std::optional<Result<Addresses>> result;
  asio::co_spawn(
      f.loop,
      testing::store(f.resolver.resolve("tarpit.example", OrganisationId{1}, f.clock.steady() + 1h),
                     result),
      asio::bind_cancellation_slot(signal.slot(),
                                   [](std::exception_ptr thrown) { EXPECT_FALSE(thrown); }));
  while (f.dns.queries() == 0) f.loop.run_one_for(1ms);
  signal.emit(asio::cancellation_type::terminal);
  while (!result.has_value()) f.loop.run_one_for(1ms);
  EXPECT_EQ(result->error().code, ErrorCode::Cancelled);
}

TEST(Resolver, MayGoWhileALookupIsUnderWay) {
  std::optional<Result<Addresses>> result;
  Fixture f;
  asio::co_spawn(
      f.loop,
      testing::store(f.resolver.resolve("tarpit.example", OrganisationId{1}, f.clock.steady() + 1h),
                     result),
      [](std::exception_ptr) { ADD_FAILURE(); });
  while (f.dns.queries() == 0) f.loop.run_one_for(1ms);
}

TEST(Resolver, ChecksItsServers) {
  EXPECT_TRUE(Resolver::check_servers("192.0.2.1,192.0.2.2:5353,[2001:db8::1]:53").has_value());
  EXPECT_FALSE(Resolver::check_servers("ns.example").has_value());
}

}  // namespace
}  // namespace sluice::egress
