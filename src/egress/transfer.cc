#include "egress/transfer.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <system_error>

#include "base/assert.h"
#include "base/units.h"
#include "egress/retry_after.h"
#include "egress/wait.h"

namespace sluice::egress {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kAnswerBodyBytesMax = 64 * kKiB;
constexpr std::size_t kAnswerHeadBytesMax = 64 * kKiB;
constexpr std::chrono::seconds kAfterStatus{1};  // for the answer's headers and body
// libcurl takes 16 KiB to 2 MiB; a thousand streams with small bodies must not hold 256 MiB.
constexpr std::uint64_t kUploadBufferBytesMin = 16 * kKiB;
constexpr std::uint64_t kUploadBufferBytesMax = 256 * kKiB;
constexpr long kIdleConnectionSeconds = 60;
constexpr long kKeepAliveSeconds = 30;
// libcurl must never look a name up by itself, so what it was given outlives every deadline.
constexpr long kGivenAddressSeconds = 600;

static_assert(CURL_ERROR_SIZE == 256);

template <class Value>
void set(CURL* easy, CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(easy, option, value);
  SLUICE_ASSERT(code == CURLE_OK);
}

template <class Value>
Value info(CURL* easy, CURLINFO which) {
  Value value{};
  curl_easy_getinfo(easy, which, &value);
  return value;
}

asio::ip::address address_of(const sockaddr& socket_address) {
  if (socket_address.sa_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &socket_address, sizeof(v4));
    return asio::ip::address_v4(ntohl(v4.sin_addr.s_addr));
  }
  sockaddr_in6 v6;
  std::memcpy(&v6, &socket_address, sizeof(v6));
  asio::ip::address_v6::bytes_type bytes;
  std::copy_n(v6.sin6_addr.s6_addr, bytes.size(), bytes.begin());
  return asio::ip::address_v6(bytes);
}

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && curl_strnequal(a.data(), b.data(), a.size()) != 0;
}

}  // namespace

void Transfer::EasyCleanup::operator()(void* easy) const { curl_easy_cleanup(easy); }
void Transfer::ListCleanup::operator()(curl_slist* list) const { curl_slist_free_all(list); }

void Transfer::append(List& list, const std::string& line) {
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  SLUICE_ASSERT(longer != nullptr);
  static_cast<void>(list.release());
  list.reset(longer);
}

Transfer::Transfer(Environment environment, Purpose purpose, HttpRequest request, Url url,
                   const Addresses& addresses, SteadyTime deadline)
    : environment_(environment),
      purpose_(purpose),
      request_(std::move(request)),
      url_(std::move(url)),
      begun_(environment.clock.steady()),
      wake_(environment.loop, loop_time(deadline, environment.clock)),
      easy_(curl_easy_init()) {
  SLUICE_ASSERT(easy_ != nullptr);
  for (const std::string_view part : request_.body) body_bytes_ += part.size();
  set_common_options();
  set_route(addresses);
  if (purpose_ == Purpose::Probe) {
    set(easy_.get(), CURLOPT_CONNECT_ONLY, 1L);
  } else {
    set_request();
  }
}

Transfer::~Transfer() = default;

void Transfer::set_common_options() {
  CURL* easy = easy_.get();
  set(easy, CURLOPT_PRIVATE, this);
  set(easy, CURLOPT_URL, request_.url.c_str());
  set(easy, CURLOPT_ERRORBUFFER, curl_error_.data());
  set(easy, CURLOPT_NOSIGNAL, 1L);
  set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  set(easy, CURLOPT_FOLLOWLOCATION, 0L);
  set(easy, CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
  set(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  set(easy, CURLOPT_MAXAGE_CONN, kIdleConnectionSeconds);
  set(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  set(easy, CURLOPT_TCP_KEEPIDLE, kKeepAliveSeconds);
  set(easy, CURLOPT_TCP_KEEPINTVL, kKeepAliveSeconds);

  set(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  set(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  set(easy, CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  if (const std::string& ca_file = environment_.settings.ca_file; !ca_file.empty()) {
    set(easy, CURLOPT_CAINFO, ca_file.c_str());
    set<const char*>(easy, CURLOPT_CAPATH, nullptr);  // else the system's are trusted as well
  }

  using OpenSocket = curl_socket_t (*)(void*, curlsocktype, curl_sockaddr*);
  const OpenSocket on_open = [](void* self, curlsocktype, curl_sockaddr* address) {
    return static_cast<Transfer*>(self)->open_socket(address);
  };
  set(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
  set(easy, CURLOPT_OPENSOCKETDATA, this);
}

// Connections are pooled by the host that is connected to. It is given a name of the
// organisation's own, so that organisations never share one; the URL's host stays what is
// verified, and the addresses are those that were checked.
void Transfer::set_route(const Addresses& addresses) {
  CURL* easy = easy_.get();
  set(easy, CURLOPT_NOPROXY, "");  // else the environment's no_proxy is read
  set(easy, CURLOPT_PROXY, environment_.settings.proxy.c_str());
  if (!environment_.settings.proxy.empty()) {
    // The name goes to the proxy as it is, so nothing tells organisations apart: no reuse at all.
    set(easy, CURLOPT_FRESH_CONNECT, 1L);
    set(easy, CURLOPT_FORBID_REUSE, 1L);
    set(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (!environment_.settings.ca_file.empty()) {
      set(easy, CURLOPT_PROXY_CAINFO, environment_.settings.ca_file.c_str());
    }
    return;
  }
  std::string name = fmt::format("o{}.{}", request_.organisation.value(), url_.host);
  std::replace(name.begin(), name.end(), ':', '-');  // of an IPv6 literal
  append(route_, fmt::format("::{}:{}", name, url_.port));
  std::string resolved = fmt::format("+{}:{}:", name, url_.port);
  for (const asio::ip::address& address : addresses) {
    if (&address != &addresses.front()) resolved += ',';
    resolved += address.is_v6() ? fmt::format("[{}]", address.to_string()) : address.to_string();
  }
  append(resolved_, resolved);
  set(easy, CURLOPT_CONNECT_TO, route_.get());
  set(easy, CURLOPT_RESOLVE, resolved_.get());
  set(easy, CURLOPT_DNS_CACHE_TIMEOUT, kGivenAddressSeconds);
}

void Transfer::set_request() {
  CURL* easy = easy_.get();
  for (const auto& [name, value] : request_.headers) {
    append(headers_, value.empty() ? name + ";" : fmt::format("{}: {}", name, value));
  }
  append(headers_, "Expect:");  // else a body over 1 MiB waits a second for 100 Continue
  set(easy, CURLOPT_HTTPHEADER, headers_.get());

  using Callback = std::size_t (*)(char*, std::size_t, std::size_t, void*);
  const Callback on_header = [](char* data, std::size_t size, std::size_t count, void* self) {
    return static_cast<Transfer*>(self)->take_header({data, size * count});
  };
  const Callback on_body = [](char* data, std::size_t size, std::size_t count, void* self) {
    return static_cast<Transfer*>(self)->take_body({data, size * count});
  };
  const Callback on_read = [](char* data, std::size_t size, std::size_t count, void* self) {
    return static_cast<Transfer*>(self)->read_body(data, size * count);
  };
  set(easy, CURLOPT_HEADERFUNCTION, on_header);
  set(easy, CURLOPT_HEADERDATA, this);
  set(easy, CURLOPT_WRITEFUNCTION, on_body);
  set(easy, CURLOPT_WRITEDATA, this);
  set(easy, CURLOPT_CUSTOMREQUEST, request_.method.c_str());
  if (request_.method == "HEAD") {
    set(easy, CURLOPT_NOBODY, 1L);
  } else if (request_.method != "GET" || body_bytes_ > 0) {
    // No seek callback on purpose: a body that was partly sent is never sent again behind our back.
    set(easy, CURLOPT_UPLOAD, 1L);
    set(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(body_bytes_));
    set(easy, CURLOPT_READFUNCTION, on_read);
    set(easy, CURLOPT_READDATA, this);
    set(easy, CURLOPT_UPLOAD_BUFFERSIZE,
        static_cast<long>(
            std::clamp<std::uint64_t>(body_bytes_, kUploadBufferBytesMin, kUploadBufferBytesMax)));
  }
}

Transfer& Transfer::of(void* easy) { return *info<Transfer*>(easy, CURLINFO_PRIVATE); }

bool Transfer::expired() const { return std::chrono::steady_clock::now() >= wake_.expiry(); }

void Transfer::finish(int code) {
  done_ = true;
  code_ = code;
  wake_.cancel();
}

void Transfer::abandon() { easy_.reset(); }

std::size_t Transfer::read_body(char* to, std::size_t room) {
  std::size_t copied = 0;
  while (copied < room && part_ < request_.body.size()) {
    const std::string_view rest = request_.body[part_].substr(part_offset_);
    const std::size_t bytes = std::min(rest.size(), room - copied);
    std::copy_n(rest.data(), bytes, to + copied);
    copied += bytes;
    part_offset_ += bytes;
    if (bytes == rest.size()) {
      ++part_;
      part_offset_ = 0;
    }
  }
  return copied;
}

std::size_t Transfer::take_header(std::string_view line) {
  head_bytes_ += line.size();
  if (head_bytes_ > kAnswerHeadBytesMax) return 0;  // ends the transfer; the status stands
  const std::string_view text = trim(line);
  if (line.starts_with("HTTP/")) {
    const auto status = static_cast<int>(info<long>(easy_.get(), CURLINFO_RESPONSE_CODE));
    in_head_ = status >= 200;  // 1xx come before the answer, trailers after it
    if (in_head_) on_status(status);
  } else if (text.empty()) {
    in_head_ = false;
  } else if (const std::size_t colon = text.find(':'); in_head_ && colon != text.npos) {
    const std::string_view name = trim(text.substr(0, colon));
    const std::string_view value = trim(text.substr(colon + 1));
    if (same_name(name, "Retry-After")) {
      response_.retry_after = parse_retry_after(value, environment_.clock.now());
    }
    response_.headers.emplace_back(name, value);
  }
  return line.size();
}

void Transfer::on_status(int status) {
  response_.status = status;
  if (answered()) wake_.expires_after(kAfterStatus);
}

std::size_t Transfer::take_body(std::string_view bytes) {
  const std::size_t room = kAnswerBodyBytesMax - response_.body.size();
  response_.body.append(bytes.substr(0, room));
  return bytes.size() <= room ? bytes.size() : 0;  // 0 ends the transfer; the status stands
}

// The last word: whatever led to this address, the rules hold for it.
int Transfer::open_socket(void* address) {
  auto* target = static_cast<curl_sockaddr*>(address);
  if (target->family != AF_INET && target->family != AF_INET6) return CURL_SOCKET_BAD;
  const asio::ip::address to = address_of(target->addr);
  last_peer_ = host_and_port(to.to_string(), url_.port);
  if (environment_.settings.proxy.empty()) {
    const auto reason = environment_.rules.refusal(to, url_.host, url_.port);
    if (reason.has_value()) {
      refusal_ = fmt::format("{} is {}", to.to_string(), *reason);
      return CURL_SOCKET_BAD;
    }
  }
  return ::socket(target->family, target->socktype | SOCK_CLOEXEC, target->protocol);
}

std::uint64_t Transfer::uploaded() const {
  return static_cast<std::uint64_t>(info<curl_off_t>(easy_.get(), CURLINFO_SIZE_UPLOAD_T));
}

bool Transfer::answered() const {
  if (response_.status >= 300) return true;
  return response_.status >= 200 && uploaded() >= body_bytes_;
}

HttpResponse Transfer::take_response() { return std::move(response_); }

Result<void> Transfer::probed() const {
  if (done_ && code_ == CURLE_OK) return {};
  return error(false);
}

std::string Transfer::connected_peer() const {
  const char* address = info<char*>(easy_.get(), CURLINFO_PRIMARY_IP);
  if (address == nullptr || *address == '\0') return {};
  const long port = info<long>(easy_.get(), CURLINFO_PRIMARY_PORT);
  return host_and_port(address, static_cast<std::uint16_t>(port));
}

std::string Transfer::peer() const {
  if (std::string connected = connected_peer(); !connected.empty()) return connected;
  return last_peer_.empty() ? host_and_port(url_.host, url_.port) : last_peer_;
}

std::string Transfer::timeout_phase() const {
  CURL* easy = easy_.get();
  if (info<curl_off_t>(easy, CURLINFO_PRETRANSFER_TIME_T) == 0) {
    if (last_peer_.empty()) return "waiting for a free connection to " + peer();
    const bool connected = url_.tls && !connected_peer().empty();
    return fmt::format("{} {}", connected ? "in the TLS handshake with" : "connecting to", peer());
  }
  if (const std::uint64_t sent = uploaded(); sent < body_bytes_) {
    return fmt::format("sending the body ({} of {} bytes)", sent, body_bytes_);
  }
  return "waiting for the status line";
}

std::string Transfer::tls_failure() const {
  // libcurl leaves it at "unspecified" unless the chain itself was at fault.
  const long verified = info<long>(easy_.get(), CURLINFO_SSL_VERIFYRESULT);
  if (verified != X509_V_OK && verified != X509_V_ERR_UNSPECIFIED) {
    return fmt::format("TLS: the certificate of {} is not trusted: {}", url_.host,
                       X509_verify_cert_error_string(verified));
  }
  if (code_ == CURLE_PEER_FAILED_VERIFICATION) {
    return fmt::format("TLS: the certificate of {} is for another host name", peer());
  }
  return fmt::format("TLS handshake with {} failed: {}", peer(), curl_error_.data());
}

Error Transfer::error(bool cancelled) const {
  if (cancelled) return {ErrorCode::Cancelled, "cancelled"};
  if (!refusal_.empty()) return {ErrorCode::InvalidArgument, refusal_};
  if (!done_) {
    using std::chrono::milliseconds;
    const auto waited =
        std::chrono::duration_cast<milliseconds>(environment_.clock.steady() - begun_);
    return {ErrorCode::Timeout,
            fmt::format("timed out after {} ms {}", waited.count(), timeout_phase())};
  }
  const auto unavailable = [](std::string message) {
    return Error{ErrorCode::Unavailable, std::move(message)};
  };
  switch (code_) {
    case CURLE_COULDNT_CONNECT: {
      const auto number = static_cast<int>(info<long>(easy_.get(), CURLINFO_OS_ERRNO));
      if (number == ECONNREFUSED) return unavailable("connection refused by " + peer());
      return unavailable(fmt::format("cannot connect to {}: {}", peer(),
                                     number == 0 ? curl_easy_strerror(CURLE_COULDNT_CONNECT)
                                                 : std::generic_category().message(number)));
    }
    case CURLE_COULDNT_RESOLVE_PROXY: return unavailable("the proxy's name cannot be resolved");
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR: return unavailable(tls_failure());
    case CURLE_GOT_NOTHING: return unavailable(peer() + " hung up without an answer");
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
      return unavailable(fmt::format("{} hung up while the body was sent ({} of {} bytes)", peer(),
                                     uploaded(), body_bytes_));
    case CURLE_RECV_ERROR:
      if (const long status = info<long>(easy_.get(), CURLINFO_HTTP_CONNECTCODE); status != 0) {
        return unavailable(fmt::format("the proxy answered {} to CONNECT", status));
      }
      return unavailable(fmt::format("the connection to {} broke before the answer", peer()));
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY: return unavailable(peer() + " does not answer in HTTP/1.1");
    default:
      return unavailable(fmt::format("request to {} failed: {}", peer(),
                                     curl_easy_strerror(static_cast<CURLcode>(code_))));
  }
}

}  // namespace sluice::egress
