#include "egress/fd_watcher.h"

#include <boost/asio/posix/stream_descriptor.hpp>

namespace sluice::egress {

namespace asio = boost::asio;

// Shared by the map and the waits under way: a wait may end after the descriptor was forgotten.
struct FdWatcher::Watch {
  Watch(FdWatcher* owner_in, int fd_in) : owner(owner_in), fd(fd_in), descriptor(owner_in->loop_) {}

  FdWatcher* owner;  // null: forgotten
  const int fd;
  asio::posix::stream_descriptor descriptor;
  bool wanted[2] = {false, false};  // by Side
  bool waiting[2] = {false, false};
};

FdWatcher::FdWatcher(asio::io_context& loop, Ready ready) : loop_(loop), ready_(std::move(ready)) {}

FdWatcher::~FdWatcher() {
  while (!watches_.empty()) forget(watches_.begin()->first);
}

void FdWatcher::watch(int fd, bool readable, bool writable) {
  if (!readable && !writable) {
    forget(fd);
    return;
  }
  std::shared_ptr<Watch>& watch = watches_[fd];
  if (watch == nullptr) {
    watch = std::make_shared<Watch>(this, fd);
    boost::system::error_code ec;
    // A descriptor that cannot be watched is never ready: its transfer ends at its deadline.
    watch->descriptor.assign(fd, ec);
  }
  watch->wanted[0] = readable;
  watch->wanted[1] = writable;
  const std::shared_ptr<Watch> kept = watch;
  arm(kept, Side::Read);
  arm(kept, Side::Write);
}

void FdWatcher::forget(int fd) {
  const auto it = watches_.find(fd);
  if (it == watches_.end()) return;
  it->second->owner = nullptr;
  if (it->second->descriptor.is_open()) it->second->descriptor.release();  // the owner closes it
  watches_.erase(it);
}

void FdWatcher::arm(const std::shared_ptr<Watch>& watch, Side side) {
  const auto i = static_cast<std::size_t>(side);
  if (watch->owner == nullptr || !watch->wanted[i] || watch->waiting[i]) return;
  if (!watch->descriptor.is_open()) return;
  watch->waiting[i] = true;
  watch->descriptor.async_wait(side == Side::Read ? asio::posix::descriptor_base::wait_read
                                                  : asio::posix::descriptor_base::wait_write,
                               [watch, side, i](boost::system::error_code ec) {
                                 watch->waiting[i] = false;
                                 if (ec || watch->owner == nullptr) return;
                                 if (watch->wanted[i]) {
                                   watch->owner->ready_(watch->fd, side == Side::Read,
                                                        side == Side::Write);
                                 }
                                 arm(watch, side);
                               });
}

}  // namespace sluice::egress
