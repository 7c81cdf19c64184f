#include "http/access/proxies.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "core/text.h"
#include "easel/error.h"
#include "http/transport/address.h"
#include "http/transport/message.h"

namespace easel::http {
namespace {

constexpr int kMappedBits = 96;  // of the prefix ::ffff:0:0/96, under which IPv6 holds IPv4's addresses

bool names_proxy(const Headers& headers) {
  return headers.find("Forwarded") || headers.find("X-Forwarded-For") || headers.find("X-Real-IP") ||
         headers.find("Via");
}

// All elements of all fields of a name, in order.
std::vector<std::string_view> all_elements(const Headers& headers, std::string_view name) {
  std::vector<std::string_view> elements;
  for (const auto& field : headers) {
    if (!equal_ignoring_case(field.name, name)) continue;
    const auto part = list_elements(field.value);
    elements.insert(elements.end(), part.begin(), part.end());
  }
  return elements;
}

// Some proxies append the client's port: "192.0.2.1:5678", "[2001:db8::1]:5678".
std::string_view address_of_element(std::string_view element) {
  const bool bare_ipv6 = !element.starts_with('[') && std::count(element.begin(), element.end(), ':') > 1;
  const auto authority = bare_ipv6 ? std::nullopt : parse_authority(element);
  return authority ? authority->host : element;
}

}  // namespace

std::optional<AddressBlock::Bits> AddressBlock::bits_of(std::string_view address) {
  const std::string text(address);
  Bits bits{};
  if (inet_pton(AF_INET6, text.c_str(), bits.data()) == 1) return bits;
  constexpr std::size_t kIpv4At = kMappedBits / 8;
  if (inet_pton(AF_INET, text.c_str(), bits.data() + kIpv4At) != 1) return std::nullopt;
  bits[kIpv4At - 1] = bits[kIpv4At - 2] = 0xFF;
  return bits;
}

bool AddressBlock::equal(const Bits& a, const Bits& b, int prefix) {
  const auto whole = static_cast<std::size_t>(prefix / 8);
  if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), b.begin())) return false;
  const int rest = prefix % 8;
  return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

std::optional<AddressBlock> AddressBlock::parse(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = text.substr(0, slash);
  const auto bits = bits_of(address);
  if (!bits) return std::nullopt;
  const bool ipv4 = address.find(':') == std::string_view::npos;
  const int longest = ipv4 ? 32 : 128;
  int length = longest;
  if (slash != std::string_view::npos) {
    const auto digits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (error != std::errc() || end != digits.data() + digits.size() || length < 0 || length > longest)
      return std::nullopt;
  }
  AddressBlock block;
  block.bits_ = *bits;
  block.prefix_ = length + (ipv4 ? kMappedBits : 0);
  Bits beyond = *bits;
  for (int bit = block.prefix_; bit < 128; ++bit)
    beyond[static_cast<std::size_t>(bit / 8)] &= static_cast<std::uint8_t>(~(0x80 >> bit % 8));
  if (beyond != *bits) return std::nullopt;
  return block;
}

bool AddressBlock::contains(std::string_view address) const {
  const auto bits = bits_of(address);
  return bits && equal(*bits, bits_, prefix_);
}

TrustedProxies::TrustedProxies(const std::vector<std::string>& blocks) {
  for (const auto& text : blocks) {
    const auto block = AddressBlock::parse(text);
    if (!block) {
      throw Error(ErrorCode::kInvalidArgument,
                  concat("--trusted-proxies ", quote(text),
                         " is neither an address nor a block of addresses like 10.0.0.0/8 or 2001:db8::/32"));
    }
    blocks_.push_back(*block);
  }
}

bool TrustedProxies::trusted(std::string_view address) const {
  return std::any_of(blocks_.begin(), blocks_.end(), [&](const auto& block) { return block.contains(address); });
}

RequestSource TrustedProxies::source_of(const RequestHead& head, const std::string& address) const {
  RequestSource source{.address = address, .host = head.host, .proxied = names_proxy(head.headers)};
  if (!trusted(address)) return source;
  source.proxied = true;
  const auto forwarded = all_elements(head.headers, "X-Forwarded-For");
  for (auto element = forwarded.rbegin(); element != forwarded.rend() && trusted(source.address); ++element) {
    const auto before = address_of_element(*element);
    if (!is_ip_address(before)) break;
    source.address = before;
  }
  // The last value is that of the proxy that is connected.
  if (const auto hosts = all_elements(head.headers, "X-Forwarded-Host"); !hosts.empty()) source.host = hosts.back();
  const auto protocols = all_elements(head.headers, "X-Forwarded-Proto");
  source.https = !protocols.empty() && equal_ignoring_case(protocols.back(), "https");
  return source;
}

}  // namespace easel::http
