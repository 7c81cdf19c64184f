// Authorities and loopback hosts.
#include "http/transport/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>

#include "http/transport/message.h"

namespace easel::http {
namespace {

bool is_ipv6(std::string_view text) {
  in6_addr address{};
  return inet_pton(AF_INET6, std::string(text).c_str(), &address) == 1;
}

// What may follow the host: nothing, or a colon and a port. RFC 3986 allows the port to be empty.
bool read_port(std::string_view text, std::string_view& port) {
  if (text.empty()) return true;
  if (text.front() != ':') return false;
  port = text.substr(1);
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  return port.empty() || (error == std::errc() && end == port.data() + port.size());
}

}  // namespace

std::optional<Authority> parse_authority(std::string_view text) {
  Authority authority;
  authority.is_ipv6 = text.starts_with('[');
  const auto host_end = std::min(text.find(authority.is_ipv6 ? ']' : ':'), text.size());
  authority.host = text.substr(0, host_end);
  text.remove_prefix(host_end);
  if (authority.is_ipv6) {
    if (text.empty()) return std::nullopt;  // the bracket is not closed
    text.remove_prefix(1);
    authority.host.remove_prefix(1);
    if (!is_ipv6(authority.host)) return std::nullopt;
  }
  if (authority.host.empty() || !read_port(text, authority.port)) return std::nullopt;
  return authority;
}

bool is_ip_address(std::string_view text) {
  in_addr address{};
  return inet_pton(AF_INET, std::string(text).c_str(), &address) == 1 || is_ipv6(text);
}

bool is_loopback(std::string_view host) {
  if (equal_ignoring_case(host, "localhost") || host == "::1") return true;
  in_addr address{};
  return inet_pton(AF_INET, std::string(host).c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

std::string address_text(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text.data(), text.size());
  } else if (address.ss_family == AF_INET6) {
    const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    constexpr std::size_t kIpv4At = 12;  // in a mapped address
    const bool mapped = IN6_IS_ADDR_V4MAPPED(&ipv6);
    inet_ntop(mapped ? AF_INET : AF_INET6, &ipv6.s6_addr[mapped ? kIpv4At : 0], text.data(), text.size());
  }
  return text.data();
}

}  // namespace easel::http
