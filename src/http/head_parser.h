#pragma once
// The header of a request and the framing of a chunked body, parsed by Beast in place: what it
// finds is kept as positions in the connection's buffer, copied nowhere. Included by connection.cc
// alone, as it shows Beast.

#include <boost/beast/http/basic_parser.hpp>
#include <cstdint>
#include <vector>

namespace sluice::http {

// A piece of the buffer, which may move until the header is complete.
struct Slice {
  std::uint32_t at = 0;
  std::uint32_t size = 0;
};

// What the parser reports to. One a connection, reused.
struct ParsedHead {
  static constexpr std::size_t kFieldsMax = 256;

  const char* buffer = nullptr;  // where the buffer is at this moment
  std::size_t buffer_size = 0;
  Slice method;
  Slice target;
  std::vector<std::pair<Slice, Slice>> fields;
  int version = 11;
  std::uint32_t hosts = 0;
  bool expects_continue = false;

  // A chunked body: where decoded bytes go, and how many the chunks so far announce.
  char* body = nullptr;
  std::uint64_t body_bytes = 0;
  std::uint64_t body_bytes_announced = 0;

  void clear();
};

// One a request. Refuses what Beast lets pass but what would leave the length of the body in
// doubt or in two pieces: transfer codings other than "chunked", folded lines.
class HeadParser final : public boost::beast::http::basic_parser<true> {
 public:
  HeadParser(ParsedHead& head, std::uint32_t header_bytes_max);

 private:
  using error_code = boost::beast::error_code;
  using field = boost::beast::http::field;
  using string_view = boost::beast::string_view;
  using verb = boost::beast::http::verb;

  bool slice(string_view text, Slice& into) const;

  void on_request_impl(verb, string_view method, string_view target, int version,
                       error_code& error) override;
  void on_response_impl(int, string_view, int, error_code&) override {}
  void on_field_impl(field name, string_view name_text, string_view value,
                     error_code& error) override;
  void on_header_impl(error_code& error) override;
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(string_view, error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t size, string_view, error_code&) override;
  std::size_t on_chunk_body_impl(std::uint64_t, string_view bytes, error_code&) override;
  void on_finish_impl(error_code&) override {}

  ParsedHead& head_;
};

}  // namespace sluice::http
