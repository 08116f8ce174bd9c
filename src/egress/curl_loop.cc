#include "egress/curl_loop.h"

#include <curl/curl.h>

#include <boost/asio/post.hpp>

#include "base/assert.h"

namespace sluice::egress {
namespace {

// Once a process; never undone, as threads may still use what it set up.
void init_curl() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  SLUICE_ASSERT(code == CURLE_OK);
}

}  // namespace

CurlLoop::CurlLoop(boost::asio::io_context& loop, Limits limits, Done done)
    : watcher_(loop,
               [this](int fd, bool readable, bool writable) {
                 act(fd, (readable ? CURL_CSELECT_IN : 0) | (writable ? CURL_CSELECT_OUT : 0));
               }),
      timer_(loop),
      done_(std::move(done)) {
  init_curl();
  CURLM* multi = curl_multi_init();
  SLUICE_ASSERT(multi != nullptr);
  multi_ = multi;
  using SocketFunction = int (*)(CURL*, curl_socket_t, int, void*, void*);
  using TimerFunction = int (*)(CURLM*, long, void*);
  const SocketFunction on_socket = [](CURL*, curl_socket_t fd, int what, void* self, void*) {
    static_cast<CurlLoop*>(self)->watcher_.watch(fd,
                                                 what == CURL_POLL_IN || what == CURL_POLL_INOUT,
                                                 what == CURL_POLL_OUT || what == CURL_POLL_INOUT);
    return 0;
  };
  const TimerFunction on_timer = [](CURLM*, long timeout_ms, void* self) {
    static_cast<CurlLoop*>(self)->set_timer(timeout_ms);
    return 0;
  };
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi, CURLMOPT_PIPELINING, long{CURLPIPE_NOTHING});
  curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, limits.connections_per_host_max);
  curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, limits.connections_max);
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, limits.connections_max);
}

CurlLoop::~CurlLoop() {
  timer_.cancel();
  curl_multi_cleanup(multi_);
}

void CurlLoop::add(void* easy) {
  const CURLMcode code = curl_multi_add_handle(multi_, easy);
  SLUICE_ASSERT(code == CURLM_OK);
}

void CurlLoop::remove(void* easy) { curl_multi_remove_handle(multi_, easy); }

void CurlLoop::set_timer(long timeout_ms) {
  timer_.cancel();
  if (timeout_ms < 0) return;
  const auto on_time = [this, alive = std::weak_ptr(alive_)](boost::system::error_code ec) {
    if (!ec && !alive.expired()) act(CURL_SOCKET_TIMEOUT, 0);
  };
  if (timeout_ms == 0) {  // at every new transfer: spares the timer's system call
    boost::asio::post(timer_.get_executor(), [on_time] { on_time({}); });
    return;
  }
  timer_.expires_after(std::chrono::milliseconds(timeout_ms));
  timer_.async_wait(on_time);
}

void CurlLoop::act(int fd, int events) {
  int running = 0;
  curl_multi_socket_action(multi_, fd, events, &running);
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    CURL* easy = message->easy_handle;
    const CURLcode code = message->data.result;  // removing the handle frees the message
    curl_multi_remove_handle(multi_, easy);
    done_(easy, code);
  }
}

}  // namespace sluice::egress
