#include "egress/address_rules.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice::egress {
namespace {

namespace ip = boost::asio::ip;

std::string rule(const std::string& address) {
  return std::string(forbidden_as(ip::make_address(address)).value_or("public"));
}

TEST(AddressRules, NameWhatTheyRefuse) {
  struct Row {
    std::string address;
    std::string name;
  };
  // Each range by its first and last address, and by its neighbours outside.
  const Row rows[] = {
      {"0.0.0.0", "the unspecified address"},
      {"0.0.0.1", "a reserved address"},
      {"0.255.255.255", "a reserved address"},
      {"1.0.0.0", "public"},
      {"9.255.255.255", "public"},
      {"10.0.0.0", "a private address"},
      {"10.255.255.255", "a private address"},
      {"11.0.0.0", "public"},
      {"100.63.255.255", "public"},
      {"100.64.0.0", "a shared address, where devices live"},
      {"100.127.255.255", "a shared address, where devices live"},
      {"100.128.0.0", "public"},
      {"100.100.100.200", "a cloud's metadata address"},
      {"126.255.255.255", "public"},
      {"127.0.0.0", "a loopback address"},
      {"127.255.255.255", "a loopback address"},
      {"128.0.0.0", "public"},
      {"168.63.129.16", "a cloud's metadata address"},
      {"168.63.129.17", "public"},
      {"169.253.255.255", "public"},
      {"169.254.0.0", "a link-local address"},
      {"169.254.169.254", "a cloud's metadata address"},
      {"169.254.255.255", "a link-local address"},
      {"169.255.0.0", "public"},
      {"172.15.255.255", "public"},
      {"172.16.0.0", "a private address"},
      {"172.31.255.255", "a private address"},
      {"172.32.0.0", "public"},
      {"192.0.0.0", "a reserved address"},
      {"192.0.0.255", "a reserved address"},
      {"192.0.1.0", "public"},
      {"192.0.2.0", "a documentation address"},
      {"192.0.2.255", "a documentation address"},
      {"192.0.3.0", "public"},
      {"192.88.99.1", "a reserved address"},
      {"192.167.255.255", "public"},
      {"192.168.0.0", "a private address"},
      {"192.168.255.255", "a private address"},
      {"192.169.0.0", "public"},
      {"198.17.255.255", "public"},
      {"198.18.0.0", "a benchmarking address"},
      {"198.19.255.255", "a benchmarking address"},
      {"198.20.0.0", "public"},
      {"198.51.100.0", "a documentation address"},
      {"198.51.101.0", "public"},
      {"203.0.113.255", "a documentation address"},
      {"203.0.114.0", "public"},
      {"223.255.255.255", "public"},
      {"224.0.0.0", "a multicast address"},
      {"239.255.255.255", "a multicast address"},
      {"240.0.0.0", "a reserved address"},
      {"255.255.255.254", "a reserved address"},
      {"255.255.255.255", "the broadcast address"},
      {"8.8.8.8", "public"},

      {"::", "the unspecified address"},
      {"::1", "a loopback address"},
      {"::2", "an IPv4 address inside IPv6"},
      {"::127.0.0.1", "an IPv4 address inside IPv6"},
      {"::8.8.8.8", "an IPv4 address inside IPv6"},
      {"::ffff:127.0.0.1", "an IPv4 address inside IPv6"},
      {"::ffff:8.8.8.8", "an IPv4 address inside IPv6"},
      {"::ffff:0:127.0.0.1", "an IPv4 address inside IPv6"},
      {"::fffe:127.0.0.1", "a reserved address"},
      {"64:ff9b::7f00:1", "an IPv4 address inside IPv6"},
      {"64:ff9b::8.8.8.8", "an IPv4 address inside IPv6"},
      {"64:ff9b:1::7f00:1", "an IPv4 address inside IPv6"},
      {"64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "an IPv4 address inside IPv6"},
      {"64:ff9b:2::1", "a reserved address"},
      {"100::1", "a reserved address"},
      {"1fff:ffff::1", "a reserved address"},
      {"2000::1", "public"},
      {"2001::1", "an IPv4 address inside IPv6"},
      {"2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "an IPv4 address inside IPv6"},
      {"2001:1::1", "a reserved address"},
      {"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "a reserved address"},
      {"2001:200::1", "public"},
      {"2001:db7:ffff::1", "public"},
      {"2001:db8::1", "a documentation address"},
      {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "a documentation address"},
      {"2001:db9::1", "public"},
      {"2001:4860:4860::8888", "public"},
      {"2002:7f00:1::", "an IPv4 address inside IPv6"},
      {"2002:808:808::1", "an IPv4 address inside IPv6"},
      {"2003::1", "public"},
      {"2606:4700::5efe:7f00:1", "an IPv4 address inside IPv6"},
      {"2606:4700::200:5efe:7f00:1", "an IPv4 address inside IPv6"},
      {"2606:4700::400:5efe:7f00:1", "public"},
      {"2606:4700::1", "public"},
      {"3ffe::1", "a reserved address"},
      {"3fff:fff::1", "a documentation address"},
      {"3fff:1000::1", "public"},
      {"4000::1", "a reserved address"},
      {"5f00::1", "a reserved address"},
      {"fbff::1", "a reserved address"},
      {"fc00::", "a private address"},
      {"fd00:ec2::254", "a cloud's metadata address"},
      {"fd20:ce::254", "a private address"},
      {"fdff:ffff::1", "a private address"},
      {"fe80::1", "a link-local address"},
      {"febf::1", "a link-local address"},
      {"fec0::1", "a private address"},
      {"feff::1", "a private address"},
      {"ff02::1", "a multicast address"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "a multicast address"},
  };
  for (const Row& row : rows) EXPECT_EQ(rule(row.address), row.name) << row.address;
}

// A second, slower reading of the same promise: whatever Asio itself calls special is refused.
TEST(AddressRules, RefuseWhatAsioCallsSpecial) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 200'000; ++i) {
    const ip::address_v4 v4(static_cast<std::uint32_t>(random()));
    if (v4.is_loopback() || v4.is_multicast() || v4.is_unspecified()) {
      EXPECT_TRUE(forbidden_as(v4).has_value()) << v4;
    }
    ip::address_v6::bytes_type bytes{};
    for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random());
    // Zero most of the prefix now and then, so that embedded addresses come up.
    const std::size_t zeros = random() % 16;
    if (random() % 2 == 0) std::fill_n(bytes.begin(), zeros, static_cast<unsigned char>(0));
    const ip::address_v6 v6(bytes);
    if (v6.is_loopback() || v6.is_multicast() || v6.is_unspecified() || v6.is_link_local() ||
        v6.is_site_local() || v6.is_v4_mapped()) {
      EXPECT_TRUE(forbidden_as(v6).has_value()) << v6;
    }
    EXPECT_TRUE(forbidden_as(ip::make_address_v6(ip::v4_mapped, v4)).has_value()) << v4;
  }
}

AddressRules rules_of(const std::vector<std::string>& allow) {
  Result<AddressRules> rules = AddressRules::parse(allow);
  EXPECT_TRUE(rules.has_value()) << rules.error().message;
  return *rules;
}

bool allows(const AddressRules& rules, const std::string& address, std::string_view host,
            std::uint16_t port) {
  return !rules.refusal(ip::make_address(address), host, port).has_value();
}

TEST(AddressExceptions, ANetworkHoldsForItsAddressesAlone) {
  const AddressRules rules = rules_of({"10.1.0.0/17", "fd00:1::/33", "127.0.0.1/32"});
  EXPECT_TRUE(allows(rules, "10.1.0.1", "a", 80));
  EXPECT_TRUE(allows(rules, "10.1.127.255", "a", 80));
  EXPECT_FALSE(allows(rules, "10.1.128.0", "a", 80));
  EXPECT_FALSE(allows(rules, "10.0.255.255", "a", 80));
  EXPECT_TRUE(allows(rules, "fd00:1:7fff::1", "a", 80));
  EXPECT_FALSE(allows(rules, "fd00:1:8000::1", "a", 80));
  EXPECT_TRUE(allows(rules, "127.0.0.1", "a", 80));
  EXPECT_FALSE(allows(rules, "127.0.0.2", "a", 80));
  EXPECT_FALSE(allows(rules, "::ffff:127.0.0.1", "a", 80));
  EXPECT_FALSE(allows(rules, "::127.0.0.1", "a", 80));
  EXPECT_FALSE(allows(rules, "::1", "a", 80));
  EXPECT_TRUE(allows(rules, "8.8.8.8", "a", 80));
}

TEST(AddressExceptions, EverythingCanBeAllowed) {
  const AddressRules rules = rules_of({"0.0.0.0/0", "::/0"});
  for (const char* address :
       {"127.0.0.1", "255.255.255.255", "::1", "::ffff:10.0.0.1", "ff02::1"}) {
    EXPECT_TRUE(allows(rules, address, "a", 80)) << address;
  }
}

TEST(AddressExceptions, HostAndPortAreTakenExactly) {
  const AddressRules rules =
      rules_of({"Internal.Example:8443", "[FD00::0001]:80", "10.0.0.5:9000"});
  EXPECT_TRUE(allows(rules, "10.9.9.9", "internal.example", 8443));
  EXPECT_FALSE(allows(rules, "10.9.9.9", "internal.example", 443));
  EXPECT_FALSE(allows(rules, "10.9.9.9", "x.internal.example", 8443));
  EXPECT_FALSE(allows(rules, "10.9.9.9", "internal.example.", 8443));
  EXPECT_TRUE(allows(rules, "fd00::1", "fd00::1", 80));
  EXPECT_TRUE(allows(rules, "10.0.0.5", "10.0.0.5", 9000));
  EXPECT_FALSE(allows(rules, "10.0.0.5", "other.example", 9000));
}

TEST(AddressExceptions, AnAddressIsANetworkOfOne) {
  const AddressRules rules = rules_of({"10.0.0.5", "fd00::5"});
  EXPECT_TRUE(allows(rules, "10.0.0.5", "a", 80));
  EXPECT_FALSE(allows(rules, "10.0.0.4", "a", 80));
  EXPECT_TRUE(allows(rules, "fd00::5", "a", 80));
  EXPECT_FALSE(allows(rules, "fd00::4", "a", 80));
}

TEST(AddressExceptions, OtherEntriesAreNamed) {
  for (const std::string entry : {"",
                                  "10.0.0.0/33",
                                  "10.0.0.0/-1",
                                  "10.0.0/8",
                                  "fd00::/129",
                                  "localhost",
                                  "localhost:",
                                  "localhost:0",
                                  "localhost:65536",
                                  "localhost:http",
                                  "localhost:80/x",
                                  "localhost/x:80",
                                  "http://localhost:80",
                                  "u@localhost:80",
                                  "[::1]",
                                  "*:80",
                                  "0x7f.1:80",
                                  "local host:80",
                                  "[fe80::1%eth0]:80",
                                  "10.0.0.0/8 "}) {
    const Result<AddressRules> rules = AddressRules::parse({"127.0.0.0/8", entry});
    ASSERT_FALSE(rules.has_value()) << entry;
    EXPECT_EQ(rules.error().code, ErrorCode::InvalidArgument);
    EXPECT_NE(rules.error().message.find('"' + entry + '"'), std::string::npos)
        << rules.error().message;
  }
}

}  // namespace
}  // namespace sluice::egress
