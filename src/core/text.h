// Building messages.
#pragma once

#include <sstream>
#include <string>
#include <vector>

namespace easel {

/// All arguments as operator<< prints them, one after the other.
template <class... Args>
std::string concat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

/// "a, b, c"
inline std::string join(const std::vector<std::string>& parts, const std::string& separator = ", ") {
  std::string joined;
  for (const auto& part : parts) {
    if (!joined.empty()) joined += separator;
    joined += part;
  }
  return joined;
}

}  // namespace easel
