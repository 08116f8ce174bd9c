#include "egress/url.h"

#include <gtest/gtest.h>

#include <random>

#include "egress/http_client.h"

namespace sluice::egress {
namespace {

std::string fault(std::string_view url) {
  const Result<void> result = validate_url(url);
  if (result.has_value()) return "accepted";
  EXPECT_EQ(result.error().code, ErrorCode::InvalidArgument);
  return result.error().message;
}

TEST(Url, ReadsItsParts) {
  struct Row {
    std::string text;
    bool tls;
    std::string host;
    std::uint16_t port;
    bool is_address;
    std::string shown;
  };
  const Row rows[] = {
      {"http://example.com", false, "example.com", 80, false, "http://example.com"},
      {"HTTPS://Example.COM/In?key=1#x", true, "example.com", 443, false, "https://Example.COM/In"},
      {"https://example.com:8443/a/b", true, "example.com", 8443, false,
       "https://example.com:8443/a/b"},
      {"https://example.com?key=1", true, "example.com", 443, false, "https://example.com"},
      {"http://example.com.:80/", false, "example.com.", 80, false, "http://example.com.:80/"},
      {"http://a-b_c.xn--bcher-kva.example/", false, "a-b_c.xn--bcher-kva.example", 80, false,
       "http://a-b_c.xn--bcher-kva.example/"},
      {"http://localhost:9000/", false, "localhost", 9000, false, "http://localhost:9000/"},
      {"http://192.0.2.1/", false, "192.0.2.1", 80, true, "http://192.0.2.1/"},
      {"http://[2001:DB8:0::1]:81/", false, "2001:db8::1", 81, true, "http://[2001:DB8:0::1]:81/"},
      {"https://example.com/@user:x%20%00?a=b@c", true, "example.com", 443, false,
       "https://example.com/@user:x%20%00"},
      {"http://1.2.3.4.example/", false, "1.2.3.4.example", 80, false, "http://1.2.3.4.example/"},
      {"http://0x7f.example/", false, "0x7f.example", 80, false, "http://0x7f.example/"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.text);
    const Result<Url> url = parse_url(row.text);
    ASSERT_TRUE(url.has_value()) << url.error().message;
    EXPECT_EQ(url->tls, row.tls);
    EXPECT_EQ(url->host, row.host);
    EXPECT_EQ(url->port, row.port);
    EXPECT_EQ(url->is_address, row.is_address);
    EXPECT_EQ(url->shown, row.shown);
  }
}

TEST(Url, RefusesOddSpellingsOfAddresses) {
  for (const std::string host : {"2130706433",
                                 "017700000001",
                                 "0x7f000001",
                                 "0x7f.1",
                                 "0X7F.0.0.1",
                                 "127.1",
                                 "127.0.1",
                                 "0177.0.0.1",
                                 "127.0.0.01",
                                 "127.0.0.0x1",
                                 "127.0.0.1.",
                                 "256.0.0.1",
                                 "1.2.3.4.5",
                                 "1.2.3.4..",
                                 "127.0.0.1.5",
                                 "0",
                                 "00",
                                 "0x",
                                 "example.1",
                                 "example.0x7f",
                                 "[127.0.0.1]",
                                 "[::1",
                                 "::1",
                                 "[::1]x",
                                 "[]",
                                 "[::1%25eth0]",
                                 "[fe80::1%eth0]",
                                 "[::1%25]",
                                 "[::ffff:127.1]",
                                 "[v1.x]",
                                 "[0:0:0:0:0:0:0:0:1]"}) {
    for (const std::string port : {"", ":80"}) {
      const std::string url = "http://" + host + port + "/";
      EXPECT_NE(fault(url), "accepted") << url;
    }
  }
}

TEST(Url, NamesTheFaultAndTheRemedy) {
  struct Row {
    std::string url;
    std::string message;
  };
  const Row rows[] = {
      {"", "the URL is empty"},
      {"example.com", "the URL must begin with http:// or https://"},
      {"//example.com/", "the URL must begin with http:// or https://"},
      {"ftp://example.com/", "the URL must begin with http:// or https://"},
      {"file:///etc/passwd", "the URL must begin with http:// or https://"},
      {"gopher://example.com/", "the URL must begin with http:// or https://"},
      {"http:/example.com", "the URL must begin with http:// or https://"},
      {"javascript:alert(1)", "the URL must begin with http:// or https://"},
      {"http:///in", "the URL has no host"},
      {"http://:80/", "the URL has no host"},
      {"http://?x", "the URL has no host"},
      {"http://user@example.com/",
       "the URL holds a user name or password: send credentials in a header"},
      {"http://user:secret@example.com/",
       "the URL holds a user name or password: send credentials in a header"},
      {"http://@example.com/",
       "the URL holds a user name or password: send credentials in a header"},
      {"http://example.com:0/", "the URL has a port that is not a number in 1..65535"},
      {"http://example.com:/", "the URL has a port that is not a number in 1..65535"},
      {"http://example.com:65536/", "the URL has a port that is not a number in 1..65535"},
      {"http://example.com:-1/", "the URL has a port that is not a number in 1..65535"},
      {"http://example.com:80:80/", "the URL has a port that is not a number in 1..65535"},
      {"http://exam%70le.com/",
       "the URL has a '%' in its host: write the host plainly, without a zone id"},
      {"http://127.1/",
       "the URL has a host that is spelled as a number: write an IPv4 address as four decimal "
       "numbers without leading zeros, such as 192.0.2.1"},
      {"http://example.com/a b", "the URL holds a blank or a control character: percent-encode it"},
      {"http://example.com/\r\nX: y",
       "the URL holds a blank or a control character: percent-encode it"},
      {std::string("http://example.com/\0x", 21),
       "the URL holds a blank or a control character: percent-encode it"},
      {" http://example.com/", "the URL holds a blank or a control character: percent-encode it"},
      {"http://b\xc3\xbc"
       "cher.example/",
       "the URL holds a character outside ASCII: percent-encode it, write a host name in its xn-- "
       "form"},
  };
  for (const Row& row : rows) EXPECT_EQ(fault(row.url), row.message) << row.url;
}

TEST(Url, RefusesWhatIsNoHostName) {
  for (const std::string host : {
           ".",   "..",  ".example.com", "a..b", "a\\b", "a\\@b", "a;b",  "a,b",
           "a!b", "*",   "a^b",          "a|b",  "a`b",  "{a}",   "a\"b", "<a>",
           "a=b", "a&b", "a$b",          "a'b",  "a(b)", "a~b",   "a+b",  "http",
       }) {
    const std::string url = "http://" + host + "/";
    if (host == "http") {
      EXPECT_EQ(fault(url), "accepted");
    } else {
      EXPECT_NE(fault(url), "accepted") << url;
    }
  }
  EXPECT_NE(fault("http://" + std::string(64, 'a') + ".example/"), "accepted");
  EXPECT_EQ(fault("http://" + std::string(63, 'a') + ".example/"), "accepted");
  std::string longest;
  while (longest.size() < 252) longest += "a.";
  EXPECT_EQ(fault("http://" + longest + "a/"), "accepted");
  EXPECT_NE(fault("http://" + longest + "a.a/"), "accepted");
  EXPECT_NE(fault("http://example.com/" + std::string(8192, 'a')), "accepted");
}

TEST(Url, HostAndPortPutsBracketsAroundIPv6) {
  EXPECT_EQ(host_and_port("example.com", 80), "example.com:80");
  EXPECT_EQ(host_and_port("::1", 80), "[::1]:80");
}

// Whatever is accepted has one reading: written out again from its parts it gives the same parts.
TEST(Url, RandomOnesHaveOneReading) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::string pieces[] = {
      "http://", "https://", "example", ".com", ".",        ":",     "80",   "@",   "/",  "?",
      "#",       "[",        "]",       "::1",  "127",      ".0",    "0x7f", "%25", "\\", "a",
      "-",       "0177",     "//",      "1",    "10.0.0.1", "[::1]", ":80",  "x",   "%2e"};
  int accepted = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text = random() % 2 == 0 ? "http://" : "https://";
    for (unsigned n = random() % 7; n > 0; --n) text += pieces[random() % std::size(pieces)];
    const Result<Url> url = parse_url(text);
    if (!url.has_value()) continue;
    ++accepted;
    const std::string canonical =
        (url->tls ? "https://" : "http://") + host_and_port(url->host, url->port) + "/";
    const Result<Url> again = parse_url(canonical);
    ASSERT_TRUE(again.has_value()) << text << " " << canonical;
    EXPECT_EQ(again->host, url->host) << text;
    EXPECT_EQ(again->port, url->port) << text;
    EXPECT_EQ(again->is_address, url->is_address) << text;
  }
  EXPECT_GT(accepted, 1000);
}

}  // namespace
}  // namespace sluice::egress
