// Numbers and addresses as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace easel {

/// E.g. "512 B", "1.7 GiB".
std::string format_bytes(std::int64_t bytes);

/// E.g. "860 million".
std::string format_count(std::int64_t count);

/// The host of an address by which this machine reaches a server: that on which it listens, in brackets where it is an
/// IPv6 address, or localhost where it listens on all addresses.
std::string url_host(const std::string& host);

}  // namespace easel
