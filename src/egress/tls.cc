#include "egress/tls.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <atomic>
#include <boost/asio/ip/address.hpp>
#include <cerrno>
#include <vector>

#include "base/assert.h"

namespace sluice::egress {
namespace {

constexpr std::chrono::hours kAuthoritiesLife{24};
constexpr unsigned char kAlpn[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

// ---- OpenSSL's own socket BIO raises SIGPIPE when the peer is gone. This one does not.

int fd_of(BIO* bio) { return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio))); }

int moved(BIO* bio, ssize_t bytes, int retry_flag) {
  BIO_clear_retry_flags(bio);
  if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) {
    BIO_set_flags(bio, retry_flag | BIO_FLAGS_SHOULD_RETRY);
  }
  return static_cast<int>(bytes);
}

int write_socket(BIO* bio, const char* data, int size) {
  const ssize_t sent = ::send(fd_of(bio), data, static_cast<std::size_t>(size), MSG_NOSIGNAL);
  return moved(bio, sent, BIO_FLAGS_WRITE);
}

int read_socket(BIO* bio, char* data, int size) {
  return moved(bio, ::recv(fd_of(bio), data, static_cast<std::size_t>(size), 0), BIO_FLAGS_READ);
}

long control_socket(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* socket_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    SLUICE_ASSERT(made != nullptr);
    BIO_meth_set_write(made, &write_socket);
    BIO_meth_set_read(made, &read_socket);
    BIO_meth_set_ctrl(made, &control_socket);
    return made;
  }();
  return method;
}

// ---- PEM, as customers give it

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Bio reader(const std::string& pem) {
  return {BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free};
}

// Empty: there is none, or something among them is damaged.
std::vector<Certificate> read_certificates(const std::string& pem) {
  std::vector<Certificate> list;
  const Bio text = reader(pem);
  while (X509* one = PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr)) {
    list.emplace_back(one, &X509_free);
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!at_end) list.clear();
  return list;
}

// Null: there is none, or it is encrypted.
Key read_key(const std::string& pem) {
  const auto no_password = [](char*, int, int, void*) { return -1; };
  Key key(PEM_read_bio_PrivateKey(reader(pem).get(), nullptr, no_password, nullptr),
          &EVP_PKEY_free);
  ERR_clear_error();
  return key;
}

void trust(SSL_CTX* context, const std::string& ca) {
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  for (const Certificate& one : read_certificates(ca)) X509_STORE_add_cert(store, one.get());
  // What is named here is trusted, whoever signed it.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
  ERR_clear_error();
}

// False: OpenSSL finds them too weak.
bool show(SSL_CTX* context, const TlsOptions& options) {
  const std::vector<Certificate> chain = read_certificates(options.certificate);
  bool taken = !chain.empty() && SSL_CTX_use_certificate(context, chain[0].get()) == 1 &&
               SSL_CTX_use_PrivateKey(context, read_key(options.key).get()) == 1;
  for (std::size_t i = 1; taken && i < chain.size(); ++i) {
    taken = SSL_CTX_add1_chain_cert(context, chain[i].get()) == 1;
  }
  ERR_clear_error();
  return taken;
}

// Null: the authorities cannot be read.
SSL_CTX* make_context(const std::string& ca_file, const TlsOptions& options) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SLUICE_ASSERT(context != nullptr);
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  // A write goes on from wherever the bytes lie by then; idle connections hold no buffers.
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_alpn_protos(context, kAlpn, sizeof(kAlpn));
  if (!options.ca.empty()) trust(context, options.ca);
  if (!options.certificate.empty()) SLUICE_ASSERT(show(context, options));  // as validate() found
  if (!options.ca.empty() && !options.ours_too) return context;
  const int loaded = ca_file.empty() ? SSL_CTX_set_default_verify_paths(context)
                                     : SSL_CTX_load_verify_file(context, ca_file.c_str());
  if (loaded == 1) return context;
  SSL_CTX_free(context);
  return nullptr;
}

}  // namespace

void SslFree::operator()(ssl_st* ssl) const { SSL_free(ssl); }

Result<void> validate(const TlsOptions& options) {
  const auto invalid = [](const char* message) {
    return Error{ErrorCode::InvalidArgument, message};
  };
  if (!options.ca.empty() && read_certificates(options.ca).empty()) {
    return invalid("ca: must be certificates in PEM, all of them whole");
  }
  if (options.certificate.empty()) return {};
  const std::vector<Certificate> chain = read_certificates(options.certificate);
  if (chain.empty()) {
    return invalid("certificate: must be certificates in PEM, all of them whole");
  }
  const Key key = read_key(options.key);
  if (key == nullptr) return invalid("key: must be a private key in PEM that is not encrypted");
  const bool fits = X509_check_private_key(chain[0].get(), key.get()) == 1;
  ERR_clear_error();
  if (!fits) return invalid("key: is not that of the (first) certificate");
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  &SSL_CTX_free);
  SLUICE_ASSERT(context != nullptr);
  if (!show(context.get(), options)) return invalid("certificate: its key or digest is too weak");
  return {};
}

TlsContext::TlsContext(std::string ca_file, TlsOptions options)
    : ca_file_(std::move(ca_file)), options_(std::move(options)), id_([] {
        static std::atomic<std::uint64_t> last = 0;
        return ++last;
      }()) {}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

ssl_ctx_st* TlsContext::context() {
  const auto now = std::chrono::steady_clock::now();
  if (context_ != nullptr && now - read_at_ < kAuthoritiesLife) return context_;
  read_at_ = now;
  if (SSL_CTX* fresh = make_context(ca_file_, options_); fresh != nullptr) {
    SSL_CTX_free(context_);
    context_ = fresh;
  }
  return context_;
}

Ssl TlsContext::make(const std::string& host, bool http) {
  SSL_CTX* const from = context();
  if (from == nullptr) return nullptr;
  Ssl ssl(SSL_new(from));
  SLUICE_ASSERT(ssl != nullptr);
  SSL_set_connect_state(ssl.get());
  if (!http) SSL_set_alpn_protos(ssl.get(), nullptr, 0);
  boost::system::error_code not_an_address;
  boost::asio::ip::make_address(host, not_an_address);
  if (not_an_address) {
    const std::string name = host.ends_with('.') ? host.substr(0, host.size() - 1) : host;
    SSL_set_hostflags(ssl.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SLUICE_ASSERT(SSL_set1_host(ssl.get(), name.c_str()) == 1);
    SLUICE_ASSERT(SSL_set_tlsext_host_name(ssl.get(), name.c_str()) == 1);
  } else {
    SLUICE_ASSERT(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), host.c_str()) == 1);
  }
  return ssl;
}

Ssl TlsContext::over_socket(int fd, const std::string& host, bool http) {
  Ssl ssl = make(host, http);
  if (ssl == nullptr) return nullptr;
  BIO* bio = BIO_new(socket_method());
  SLUICE_ASSERT(bio != nullptr);
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(fd)));
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl.get(), bio, bio);
  return ssl;
}

Ssl TlsContext::over_tls(Ssl outer, const std::string& host, bool http) {
  Ssl ssl = make(host, http);
  if (ssl == nullptr) return nullptr;
  BIO* bio = BIO_new(BIO_f_ssl());
  SLUICE_ASSERT(bio != nullptr);
  BIO_set_ssl(bio, outer.release(), BIO_CLOSE);
  SSL_set_bio(ssl.get(), bio, bio);
  return ssl;
}

std::string tls_failure(const ssl_st* ssl, std::string_view host, std::string_view peer,
                        std::string_view fault) {
  const long verified = SSL_get_verify_result(ssl);
  if (verified == X509_V_ERR_HOSTNAME_MISMATCH || verified == X509_V_ERR_IP_ADDRESS_MISMATCH) {
    return fmt::format("TLS: the certificate of {} is for another host name", peer);
  }
  if (verified != X509_V_OK) {
    return fmt::format("TLS: the certificate of {} is not trusted: {}", host,
                       X509_verify_cert_error_string(verified));
  }
  return fmt::format("TLS handshake with {} failed: {}", peer, fault);
}

}  // namespace sluice::egress
