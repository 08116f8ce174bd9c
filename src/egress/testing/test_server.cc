#include "egress/testing/test_server.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>

#include "base/assert.h"

namespace sluice::egress::testing {
namespace {

std::string take_text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return text;
}

X509* read_certificate(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  SLUICE_ASSERT(certificate != nullptr);
  return certificate;
}

EVP_PKEY* read_key(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  SLUICE_ASSERT(key != nullptr);
  return key;
}

void add_extension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  SLUICE_ASSERT(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// Without `issuer` it signs itself.
Identity make(const Identity* issuer, const std::string& name, bool authority,
              const CertificateOptions& options) {
  static std::atomic<long> serial = 1;
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate), options.begins_in_s);
  X509_gmtime_adj(X509_getm_notAfter(certificate), options.ends_in_s);
  X509_set_pubkey(certificate, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  add_extension(certificate, NID_basic_constraints, authority ? "critical,CA:TRUE" : "CA:FALSE");
  if (!authority) add_extension(certificate, NID_subject_alt_name, options.names);
  X509* signer = issuer == nullptr ? certificate : read_certificate(issuer->certificate);
  EVP_PKEY* signer_key = issuer == nullptr ? key : read_key(issuer->key);
  X509_set_issuer_name(certificate, X509_get_subject_name(signer));
  SLUICE_ASSERT(X509_sign(certificate, signer_key, EVP_sha256()) > 0);
  if (issuer != nullptr) {
    X509_free(signer);
    EVP_PKEY_free(signer_key);
  }

  BIO* certificate_text = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(certificate_text, certificate);
  BIO* key_text = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(key_text, key, nullptr, nullptr, 0, nullptr, nullptr);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return {take_text(certificate_text), take_text(key_text)};
}

std::size_t content_length(const std::string& head) {
  constexpr std::string_view kName = "content-length:";
  for (std::size_t line = 0; line != std::string::npos; line = head.find('\n', line)) {
    if (head[line] == '\n') ++line;
    if (curl_strnequal(head.data() + line, kName.data(), kName.size()) != 0) {
      return std::stoul(head.substr(line + kName.size()));
    }
  }
  return 0;
}

}  // namespace

Identity make_authority() {
  static std::atomic<int> count = 0;
  return make(nullptr, fmt::format("Sluice test authority {}", ++count), true, {});
}

Identity make_certificate(const Identity& authority, const CertificateOptions& options) {
  return make(&authority, "Sluice test server", false, options);
}

std::string Peer::read(std::size_t bytes_max) {
  if (!unread_.empty()) {
    std::string bytes = unread_.substr(0, bytes_max);
    unread_.erase(0, bytes.size());
    return bytes;
  }
  std::string bytes(bytes_max, '\0');
  const auto got = ssl_ != nullptr
                       ? static_cast<ssize_t>(SSL_read(ssl_, bytes.data(), int(bytes.size())))
                       : ::recv(fd_, bytes.data(), bytes.size(), 0);
  bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return bytes;
}

std::string Peer::read_head() {
  std::string head;
  while (true) {
    const std::string more = read(4096);
    if (more.empty()) return {};
    head += more;
    const std::size_t end = head.find("\r\n\r\n");
    if (end == std::string::npos) continue;
    unread_ = head.substr(end + 4) + unread_;
    head.resize(end + 4);
    return head;
  }
}

std::optional<Request> Peer::read_request() {
  Request request;
  request.head = read_head();
  if (request.head.empty()) return std::nullopt;
  const std::size_t length = content_length(request.head);
  while (request.body.size() < length) {
    const std::string more = read(std::min<std::size_t>(length - request.body.size(), 1 << 18));
    if (more.empty()) return std::nullopt;
    request.body += more;
  }
  return request;
}

bool Peer::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ssl_ != nullptr
                          ? static_cast<ssize_t>(SSL_write(ssl_, bytes.data(), int(bytes.size())))
                          : ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool Peer::answer(int status, std::string_view headers, std::string_view body) {
  return write(fmt::format("HTTP/1.1 {} Whatever\r\n{}Content-Length: {}\r\n\r\n{}", status,
                           headers, body.size(), body));
}

bool Peer::wait(std::chrono::milliseconds time) {
  std::unique_lock lock(server_.mutex_);
  return !server_.stopped_.wait_for(lock, time, [this] { return server_.stopping_; });
}

void Peer::reset() {
  const linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

void Peer::relay(std::uint16_t port) {
  const int target = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  bool open = ::connect(target, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  while (open) {
    pollfd sides[] = {{fd_, POLLIN, 0}, {target, POLLIN, 0}};
    const bool held = !unread_.empty() || (ssl_ != nullptr && SSL_pending(ssl_) > 0);
    ::poll(sides, 2, held ? 0 : -1);
    if (held || sides[0].revents != 0) {
      const std::string bytes = read(1 << 14);
      open = !bytes.empty() && ::send(target, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                                   static_cast<ssize_t>(bytes.size());
    }
    if (open && sides[1].revents != 0) {
      std::string bytes(1 << 14, '\0');
      const ssize_t got = ::recv(target, bytes.data(), bytes.size(), 0);
      open = got > 0 && write(std::string_view(bytes).substr(0, static_cast<std::size_t>(got)));
    }
  }
  ::close(target);
}

bool Peer::accept_tls(ssl_ctx_st* context) {
  ssl_ = SSL_new(context);
  SSL_set_fd(ssl_, fd_);
  return SSL_accept(ssl_) == 1;
}

void Peer::end() {
  if (ssl_ != nullptr) SSL_free(ssl_);
}

TestServer::TestServer(Script script, std::optional<Identity> tls) : script_(std::move(script)) {
  std::signal(SIGPIPE, SIG_IGN);  // SSL_write knows no MSG_NOSIGNAL
  if (tls.has_value()) {
    tls_ = SSL_CTX_new(TLS_server_method());
    X509* certificate = read_certificate(tls->certificate);
    EVP_PKEY* key = read_key(tls->key);
    SLUICE_ASSERT(SSL_CTX_use_certificate(tls_, certificate) == 1);
    SLUICE_ASSERT(SSL_CTX_use_PrivateKey(tls_, key) == 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  SLUICE_ASSERT(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  SLUICE_ASSERT(::listen(listener_, 128) == 0);
  socklen_t size = sizeof(address);
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_loop(); });
}

TestServer::~TestServer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }
  stopped_.notify_all();
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
  ::close(listener_);
  if (tls_ != nullptr) SSL_CTX_free(tls_);
}

void TestServer::accept_loop() {
  while (true) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const int number = ++connections_;
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      ::close(fd);
      return;
    }
    open_.push_back(fd);
    threads_.emplace_back([this, fd, number] { serve(fd, number); });
  }
}

void TestServer::serve(int fd, int number) {
  Peer peer(*this, fd, number);
  if (tls_ == nullptr || peer.accept_tls(tls_)) script_(peer);
  peer.end();
  const std::lock_guard lock(mutex_);
  open_.remove(fd);
  ::close(fd);
  ++ended_;
}

}  // namespace sluice::egress::testing
