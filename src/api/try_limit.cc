#include "api/try_limit.h"

#include <boost/asio/ip/address.hpp>

namespace sluice::api {
namespace {

std::string group_of(std::string_view address) {
  boost::system::error_code fault;
  const auto parsed = boost::asio::ip::make_address(address, fault);
  if (fault || parsed.is_v4()) return std::string(address);
  const boost::asio::ip::address_v6 six = parsed.to_v6();
  if (six.is_v4_mapped()) {
    return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, six).to_string();
  }
  const auto bytes = six.to_bytes();
  return "/64 " + std::string(reinterpret_cast<const char*>(bytes.data()), 8);
}

}  // namespace

std::optional<std::chrono::seconds> TryLimit::count(std::string_view address) {
  const std::string name = group_of(address);
  const SteadyTime now = clock_.steady();
  const MutexLock lock(mutex_);
  const auto known = by_name_.find(name);
  if (known != by_name_.end()) {
    seen_.splice(seen_.begin(), seen_, known->second);
  } else {
    if (seen_.size() >= settings_.addresses_max) {
      by_name_.erase(seen_.back().name);
      seen_.pop_back();
    }
    seen_.push_front({name, {}});
    by_name_.emplace(name, seen_.begin());
  }
  std::deque<SteadyTime>& tries = seen_.front().tries;
  while (!tries.empty() && tries.front() + settings_.window <= now) tries.pop_front();
  if (tries.size() >= settings_.tries_max) {
    const auto wait = tries.front() + settings_.window - now;
    return std::chrono::ceil<std::chrono::seconds>(wait);
  }
  tries.push_back(now);
  return std::nullopt;
}

}  // namespace sluice::api
