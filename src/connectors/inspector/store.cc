#include "connectors/inspector/store.h"

#include <algorithm>

namespace sluice::connectors::inspector {
namespace {

// What a delivery costs, about.
std::uint64_t weight(const KeptDelivery& delivery) {
  std::uint64_t bytes = sizeof delivery + delivery.webhook_id.size() + delivery.body.size();
  for (const auto& [name, value] : delivery.headers) {
    bytes += sizeof(std::pair<std::string, std::string>) + name.size() + value.size();
  }
  return bytes;
}

}  // namespace

Store::Store(Metrics& metrics, std::uint64_t bytes_max)
    : bytes_max_(bytes_max),
      bytes_gauge_(metrics.gauge("sluice_inspector_kept_bytes",
                                 "Memory that the inspector's deliveries take.")) {}

void Store::add(StreamId stream, KeptDelivery delivery) {
  const MutexLock lock(mutex_);
  delivery.id = ++last_id_;
  bytes_ += weight(delivery);
  Deliveries& deliveries = streams_[stream];
  deliveries.push_back(std::make_shared<const KeptDelivery>(std::move(delivery)));
  if (deliveries.size() > kDeliveriesMax) drop_oldest(deliveries);
  make_room();
  bytes_gauge_.set(static_cast<double>(bytes_));
}

void Store::drop_oldest(Deliveries& deliveries) {
  bytes_ -= weight(*deliveries.front());
  deliveries.pop_front();
}

void Store::make_room() {
  while (bytes_ > bytes_max_) {
    const auto oldest = std::ranges::min_element(
        streams_, {}, [](const auto& stream) { return stream.second.front()->id; });
    drop_oldest(oldest->second);
    if (oldest->second.empty()) streams_.erase(oldest);
  }
}

void Store::forget(StreamId stream) {
  const MutexLock lock(mutex_);
  const auto found = streams_.find(stream);
  if (found == streams_.end()) return;
  for (const Kept& delivery : found->second) bytes_ -= weight(*delivery);
  streams_.erase(found);
  bytes_gauge_.set(static_cast<double>(bytes_));
}

std::vector<Store::Kept> Store::newest(StreamId stream, std::optional<std::uint64_t> before,
                                       std::size_t limit) const {
  const MutexLock lock(mutex_);
  std::vector<Kept> found;
  const auto deliveries = streams_.find(stream);
  if (deliveries == streams_.end()) return found;
  const Deliveries& kept = deliveries->second;
  auto end = kept.end();
  if (before) {
    end = std::ranges::lower_bound(kept, *before, {}, [](const Kept& one) { return one->id; });
  }
  while (end != kept.begin() && found.size() < limit) found.push_back(*--end);
  return found;
}

}  // namespace sluice::connectors::inspector
