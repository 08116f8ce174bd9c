#pragma once
// TLS towards destinations: whom to trust, and what to say when one is not trusted.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "egress/http_client.h"

struct ssl_st;
struct ssl_ctx_st;

namespace sluice::egress {

struct SslFree {
  void operator()(ssl_st* ssl) const;
};
using Ssl = std::unique_ptr<ssl_st, SslFree>;

// Threads: the loop's.
class TlsContext {
 public:
  // `ca_file` "": the system's authorities. `options` have passed validate().
  explicit TlsContext(std::string ca_file, TlsOptions options = {});
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  std::uint64_t id() const { return id_; }  // never 0, and no other context's

  // A client's end that wants a certificate for `host` (a name or an IP literal) and goes over the
  // socket `fd`, which stays the caller's and outlives it. `http`: offers HTTP/1.1 (ALPN).
  Ssl over_socket(int fd, const std::string& host, bool http = true);
  // The same, inside another TLS connection: that to a proxy.
  Ssl over_tls(Ssl outer, const std::string& host, bool http = true);

 private:
  ssl_ctx_st* context();  // read anew once a day, as authorities change
  Ssl make(const std::string& host, bool http);

  const std::string ca_file_;
  const TlsOptions options_;
  const std::uint64_t id_;
  ssl_ctx_st* context_ = nullptr;
  std::chrono::steady_clock::time_point read_at_;
};

// One sentence. `fault` is OpenSSL's own word.
std::string tls_failure(const ssl_st* ssl, std::string_view host, std::string_view peer,
                        std::string_view fault);

}  // namespace sluice::egress
