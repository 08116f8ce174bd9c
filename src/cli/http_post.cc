#include "cli/http_post.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "base/assert.h"

namespace sluice::cli {
namespace {

constexpr std::size_t kAnswerBytesMax = 1 << 20;
constexpr long kConnectTimeoutS = 10;
constexpr long kTimeoutS = 120;
constexpr auto kPatienceAfterStop = std::chrono::seconds(3);

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct FreeHandle {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

void append(HeaderList& list, const std::string& line) {
  curl_slist* grown = curl_slist_append(list.get(), line.c_str());
  SLUICE_ASSERT(grown != nullptr);
  (void)list.release();
  list.reset(grown);
}

std::string part(CURLU* url, CURLUPart which) {
  char* text = nullptr;
  if (curl_url_get(url, which, &text, 0) != CURLUE_OK) return {};
  std::string copy(text);
  curl_free(text);
  return copy;
}

// Decides whether the environment's proxy settings count.
bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "[::1]" || host.starts_with("127.");
}

std::size_t take_answer(char* data, std::size_t, std::size_t bytes, void* answer) {
  std::string& body = static_cast<PostAnswer*>(answer)->body;
  body.append(data, std::min(bytes, kAnswerBytesMax - body.size()));
  return bytes;
}

}  // namespace

struct HttpPost::Impl {
  Options options;
  bool is_local = false;
  std::unique_ptr<CURL, FreeHandle> handle;
  std::array<char, CURL_ERROR_SIZE> error_text{};
  std::optional<std::chrono::steady_clock::time_point> stopped_at;

  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    Impl& impl = *static_cast<Impl*>(self);
    if (!impl.options.stopped || !impl.options.stopped()) return 0;
    const auto now = std::chrono::steady_clock::now();
    if (!impl.stopped_at) impl.stopped_at = now;
    return now - *impl.stopped_at > kPatienceAfterStop ? 1 : 0;
  }
};

Result<std::unique_ptr<HttpPost>> HttpPost::open(Options options) {
  const std::unique_ptr<CURLU, FreeUrl> url(curl_url());
  const auto refuse = [&](std::string_view why) {
    return Error{ErrorCode::InvalidArgument, fmt::format("URL '{}': {}", options.url, why)};
  };
  if (curl_url_set(url.get(), CURLUPART_URL, options.url.c_str(), 0) != CURLUE_OK) {
    return refuse("cannot be read; write http://HOST:PORT");
  }
  const std::string scheme = part(url.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return refuse("neither http nor https");
  while (options.url.ends_with('/')) options.url.pop_back();
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 127; };
  if (std::any_of(options.token.begin(), options.token.end(), is_control)) {
    return Error{ErrorCode::InvalidArgument, "the token holds a control character"};
  }

  auto impl = std::make_unique<Impl>();
  impl->handle.reset(curl_easy_init());
  SLUICE_ASSERT(impl->handle != nullptr);
  impl->options = std::move(options);
  CURL* handle = impl->handle.get();
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, kConnectTimeoutS);
  curl_easy_setopt(handle, CURLOPT_TIMEOUT, kTimeoutS);
  curl_easy_setopt(handle, CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
  curl_easy_setopt(handle, CURLOPT_USERAGENT, "Sluice/" SLUICE_VERSION);
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, impl->error_text.data());
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take_answer);
  curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, &Impl::on_progress);
  curl_easy_setopt(handle, CURLOPT_XFERINFODATA, impl.get());
  impl->is_local = is_loopback(part(url.get(), CURLUPART_HOST));
  if (impl->is_local) curl_easy_setopt(handle, CURLOPT_PROXY, "");
  return std::unique_ptr<HttpPost>(new HttpPost(std::move(impl)));
}

HttpPost::HttpPost(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpPost::~HttpPost() = default;

bool HttpPost::is_local() const { return impl_->is_local; }

Result<PostAnswer> HttpPost::post(const PostRequest& request) {
  HeaderList headers;
  append(headers, fmt::format("Content-Type: {}", request.content_type));
  append(headers, fmt::format("Idempotency-Key: {}", request.idempotency_key));
  if (!request.content_encoding.empty()) {
    append(headers, fmt::format("Content-Encoding: {}", request.content_encoding));
  }
  append(headers, "Expect:");  // else a larger body waits for a 100
  if (!impl_->options.token.empty()) {
    append(headers, "Authorization: Bearer " + impl_->options.token);
  }
  const std::string url = fmt::format("{}{}", impl_->options.url, request.path_and_query);
  PostAnswer answer;
  CURL* handle = impl_->handle.get();
  curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers.get());
  if (request.method == "GET") {
    curl_easy_setopt(handle, CURLOPT_HTTPGET, 1L);
  } else {
    curl_easy_setopt(handle, CURLOPT_POST, 1L);
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, request.body.data());
  }
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &answer);
  impl_->error_text[0] = '\0';
  const CURLcode code = curl_easy_perform(handle);
  if (code != CURLE_OK) {
    const char* detail =
        impl_->error_text[0] != '\0' ? impl_->error_text.data() : curl_easy_strerror(code);
    return Error{code == CURLE_OPERATION_TIMEDOUT ? ErrorCode::Timeout : ErrorCode::Unavailable,
                 fmt::format("no answer from {}: {}", impl_->options.url, detail)};
  }
  long status = 0;
  curl_off_t retry_after_s = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(handle, CURLINFO_RETRY_AFTER, &retry_after_s);
  answer.status = static_cast<int>(status);
  if (retry_after_s > 0) {
    answer.retry_after_s = static_cast<std::uint32_t>(std::min<curl_off_t>(retry_after_s, 86'400));
  }
  return answer;
}

}  // namespace sluice::cli
