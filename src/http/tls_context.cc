#include "http/tls_context.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/assert.h"

namespace sluice::http {
namespace {

Error fault(std::string message) {
  ERR_clear_error();
  return {ErrorCode::InvalidArgument, std::move(message)};
}

Result<void> readable(std::string_view what, const std::string& path) {
  if (::access(path.c_str(), R_OK) == 0) return {};
  return fault(fmt::format("cannot read the {} file {}: {}", what, path, std::strerror(errno)));
}

// A key with a passphrase would be asked for on the terminal.
int no_passphrase(char*, int, int, void*) { return -1; }

// Protocols other than HTTP/1.1 are not chosen; a client that offers none of ours goes on without.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                    const unsigned char* offered, unsigned offered_size, void*) {
  static constexpr unsigned char kOurs[] = "\x08http/1.1";
  unsigned char* match = nullptr;
  if (SSL_select_next_proto(&match, chosen_size, kOurs, sizeof kOurs - 1, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *chosen = match;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::load(const TlsFiles& files) {
  if (auto there = readable("certificate", files.certificate); !there) return there.error();
  if (auto there = readable("key", files.key); !there) return there.error();
  SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
  SLUICE_ASSERT(context != nullptr);
  std::shared_ptr<const TlsContext> loaded(new TlsContext(context));
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // tickets do without
  SSL_CTX_set_default_passwd_cb(context, &no_passphrase);
  SSL_CTX_set_alpn_select_cb(context, &choose_protocol, nullptr);
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
    return fault(fmt::format("the certificate file {} holds no certificate in PEM that can be used",
                             files.certificate));
  }
  // Checks that the key belongs to the certificate, too.
  if (SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    const unsigned long reason = ERR_peek_last_error();
    if (ERR_GET_LIB(reason) == ERR_LIB_X509) {
      return fault(fmt::format("the key in {} does not belong to the certificate in {}", files.key,
                               files.certificate));
    }
    return fault(
        fmt::format("the key file {} holds no private key in PEM that can be used; a key "
                    "with a passphrase cannot",
                    files.key));
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    return fault(fmt::format("the key in {} does not belong to the certificate in {}", files.key,
                             files.certificate));
  }
  return loaded;
}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

ssl_st* TlsContext::new_session() const {
  SSL* const session = SSL_new(context_);
  SLUICE_ASSERT(session != nullptr);
  SSL_set_accept_state(session);
  return session;
}

}  // namespace sluice::http
