#include "http/answer_head.h"

#include <boost/beast/http/status.hpp>
#include <charconv>

namespace sluice::http {
namespace {

void append_number(std::string& out, std::uint64_t number) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, end);
}

}  // namespace

bool has_body(int status) { return status >= 200 && status != 204 && status != 304; }

void append_answer_head(std::string& out, const Response& response, Persistence persistence,
                        Framing framing) {
  namespace beast = boost::beast::http;
  const auto status = static_cast<unsigned>(response.status);
  const auto reason = beast::obsolete_reason(beast::int_to_status(status));
  out += "HTTP/1.1 ";
  append_number(out, status);
  out += ' ';
  out.append(reason.data(), reason.size());
  if (has_body(response.status)) {
    if (!response.content_type.empty()) {
      out += "\r\nContent-Type: ";
      out += response.content_type;
    }
    if (framing == Framing::Length) {
      out += "\r\nContent-Length: ";
      append_number(out, response.body.size());
    }
    if (framing == Framing::Chunked) out += "\r\nTransfer-Encoding: chunked";
  }
  if (persistence == Persistence::Close) out += "\r\nConnection: close";
  if (persistence == Persistence::KeepAlive) out += "\r\nConnection: keep-alive";
  for (const auto& [name, value] : response.headers) {
    out += "\r\n";
    out += name;
    out += ": ";
    out += value;
  }
  out += "\r\n\r\n";
}

}  // namespace sluice::http
