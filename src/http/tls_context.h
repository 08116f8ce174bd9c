#pragma once
// A listener's certificate and key. OpenSSL lives in the .cc.

#include <memory>

#include "base/result.h"
#include "http/server.h"

struct ssl_ctx_st;
struct ssl_st;

namespace sluice::http {

// Threads: any.
class TlsContext {
 public:
  // Reads both files. InvalidArgument: one sentence that names the file.
  static Result<std::shared_ptr<const TlsContext>> load(const TlsFiles& files);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // A new connection's state, the caller's; it keeps what it needs of the context alive.
  ssl_st* new_session() const;

 private:
  explicit TlsContext(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* const context_;
};

}  // namespace sluice::http
