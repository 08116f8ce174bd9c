#include "http/head_parser.h"

#include <boost/beast/http/error.hpp>
#include <cstring>
#include <functional>

namespace sluice::http {

namespace beast = boost::beast;

void ParsedHead::clear() {
  method = target = {};
  fields.clear();
  version = 11;
  hosts = 0;
  expects_continue = false;
  body = nullptr;
  body_bytes = body_bytes_announced = 0;
}

HeadParser::HeadParser(ParsedHead& head, std::uint32_t header_bytes_max) : head_(head) {
  header_limit(header_bytes_max);
  body_limit(boost::none);  // on_head() decides
}

// False: a line that was folded, which Beast puts together somewhere else.
bool HeadParser::slice(string_view text, Slice& into) const {
  if (text.empty()) return true;
  const std::less<const char*> before;
  if (before(text.data(), head_.buffer) || !before(text.data(), head_.buffer + head_.buffer_size)) {
    return false;
  }
  into = {static_cast<std::uint32_t>(text.data() - head_.buffer),
          static_cast<std::uint32_t>(text.size())};
  return true;
}

void HeadParser::on_request_impl(verb, string_view method, string_view target, int version,
                                 error_code&) {
  slice(method, head_.method);
  slice(target, head_.target);
  head_.version = version;
}

void HeadParser::on_field_impl(field name, string_view name_text, string_view value,
                               error_code& error) {
  if (is_header_done()) return;  // a trailer: of no use to us
  if (head_.fields.size() == ParsedHead::kFieldsMax) {
    error = beast::http::error::header_limit;
    return;
  }
  std::pair<Slice, Slice> entry;
  if (!slice(name_text, entry.first) || !slice(value, entry.second)) {
    error = beast::http::error::bad_obs_fold;
    return;
  }
  head_.fields.push_back(entry);
  if (name == field::host) ++head_.hosts;
  if (name == field::expect) head_.expects_continue = beast::iequals(value, "100-continue");
  if (name == field::transfer_encoding && !beast::iequals(value, "chunked")) {
    error = beast::http::error::bad_transfer_encoding;
  }
}

void HeadParser::on_header_impl(error_code& error) {
  if (head_.version > 10) return;
  head_.expects_continue = false;
  if (chunked()) error = beast::http::error::bad_transfer_encoding;
}

void HeadParser::on_chunk_header_impl(std::uint64_t size, string_view, error_code&) {
  head_.body_bytes_announced += size;
}

// The connection has made room for what is announced before it goes on parsing.
std::size_t HeadParser::on_chunk_body_impl(std::uint64_t, string_view bytes, error_code&) {
  std::memcpy(head_.body + head_.body_bytes, bytes.data(), bytes.size());
  head_.body_bytes += bytes.size();
  return bytes.size();
}

}  // namespace sluice::http
