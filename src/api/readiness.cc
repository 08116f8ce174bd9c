// Is the server ready: does the log take records, does the catalog answer.

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>

#include "api/handlers.h"

namespace sluice::api {
namespace {

using http::ErrorToken;

constexpr std::chrono::seconds kCatalogPatience(2);
// Those that a stuck catalog may keep waiting; it is not asked again before one has returned.
constexpr std::uint32_t kLooksMax = 16;

// What a look at the catalog and who waits for it share; the look may outlast the patience.
struct Look {
  explicit Look(const boost::asio::any_io_executor& executor) : patience(executor) {}
  boost::asio::steady_timer patience;
  std::optional<Result<void>> found;
};

Awaitable<void> look_at(catalog::Catalog& catalog, WorkerPool& pool, std::shared_ptr<Look> look,
                        std::shared_ptr<std::atomic<std::uint32_t>> under_way) {
  auto ask = [&catalog]() -> Result<void> {
    const auto found = catalog.organisation(OrganisationId{0});
    if (!found) return found.error();
    return {};
  };
  look->found = co_await pool.run(std::move(ask));
  --*under_way;
  look->patience.cancel();
}

}  // namespace

Awaitable<Result<void>> Handlers::catalog_health() {
  const Error silent{ErrorCode::Unavailable, fmt::format("the catalog has not answered for {} s",
                                                         kCatalogPatience.count())};
  if (*catalog_looks_ >= kLooksMax) co_return silent;
  ++*catalog_looks_;
  const auto executor = co_await boost::asio::this_coro::executor;
  const auto look = std::make_shared<Look>(executor);
  look->patience.expires_after(kCatalogPatience);
  boost::asio::co_spawn(executor, look_at(with_.catalog, with_.catalog_pool, look, catalog_looks_),
                        boost::asio::detached);
  co_await look->patience.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  if (!look->found) co_return silent;
  co_return *look->found;
}

Handlers::Answer Handlers::readiness(Request) {
  Result<void> health = with_.log.health();
  if (health) health = co_await catalog_health();
  if (!health) {
    co_return http::error_response(ErrorToken::StorageUnavailable, health.error().message);
  }
  co_return http::Response{.body = R"({"status":"ready"})"};
}

}  // namespace sluice::api
