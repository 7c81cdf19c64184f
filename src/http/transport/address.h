// Hosts as clients and operators write them, and which of them are this machine's own.
#pragma once

#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>

namespace easel::http {

/// The authority of a Host header, an absolute target or a web origin (RFC 3986 section 3.2, without user information).
struct Authority {
  std::string_view host;  ///< an IPv6 address without its brackets
  std::string_view port;  ///< digits; empty where there is no port
  bool is_ipv6 = false;
};

/// Parses "host", "host:port", "[ipv6]" or "[ipv6]:port" as a whole. None when any part of the text is left over, the
/// host is empty, the address in brackets is not an IPv6 address, or the port is not a number up to 65535. The result
/// refers to `text`.
std::optional<Authority> parse_authority(std::string_view text);

/// True for an IPv4 address in four decimal parts and for an IPv6 address, without brackets, port and zone.
bool is_ip_address(std::string_view text);

/// True for "localhost" in any case, "::1" and the IPv4 addresses 127.0.0.0/8: what only this machine can reach.
/// @param host  a name or an address without brackets and port
bool is_loopback(std::string_view host);

/// The IP address without its port, e.g. "192.0.2.7" or "2001:db8::7". An IPv4 address that is mapped into IPv6, as a
/// socket for both kinds reports it, is written as IPv4. Empty for another kind of address.
std::string address_text(const sockaddr_storage& address);

}  // namespace easel::http
