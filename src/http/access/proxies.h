// Reverse proxies whose word about the client counts.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/transport/request_head.h"

namespace easel::http {

/// The sender of a request, and the name by which it reached the server: as the connection says, or as trusted proxies
/// do.
struct RequestSource {
  std::string address = {};  ///< of the client, without a port
  std::string host = {};     ///< the authority that the client asked for; empty when it named none
  bool https = false;        ///< whether the client's connection was encrypted, to the outermost trusted proxy
  bool proxied = false;      ///< whether the request came through a proxy, trusted or not
};

/// A block of IPv4 or IPv6 addresses.
class AddressBlock {
 public:
  /// @param text  "10.0.0.0/8", "2001:db8::/32", or one address
  /// @return none for any other text, e.g. one with bits set beyond the prefix
  static std::optional<AddressBlock> parse(std::string_view text);
  /// False also for a text that is not an address.
  bool contains(std::string_view address) const;

 private:
  using Bits = std::array<std::uint8_t, 16>;  // IPv4 as mapped into IPv6
  static std::optional<Bits> bits_of(std::string_view address);
  static bool equal(const Bits& a, const Bits& b, int prefix);

  Bits bits_{};
  int prefix_ = 0;
};

/// The proxies of --trusted-proxies. Immutable, so thread-safe.
class TrustedProxies {
 public:
  /// @throws Error(kInvalidArgument)  a text is neither a block nor an address
  explicit TrustedProxies(const std::vector<std::string>& blocks);

  /// X-Forwarded-For, -Proto and -Host count only where the connection comes from a trusted proxy. In X-Forwarded-For,
  /// each proxy appends the address that it saw, so the client is the last address that is not a trusted proxy; what
  /// stands before it is the client's own claim.
  /// @param address  that the connection comes from
  RequestSource source_of(const RequestHead& head, const std::string& address) const;

 private:
  bool trusted(std::string_view address) const;

  std::vector<AddressBlock> blocks_;
};

}  // namespace easel::http
