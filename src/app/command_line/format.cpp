#include "app/command_line/format.h"

#include <cstdio>

namespace easel {
namespace {

std::string format_with_unit(double value, double base, const char* const (&units)[4]) {
  int unit = 0;
  while (value >= base && unit < 3) {
    value /= base;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, value < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", value, units[unit]);
  return text;
}

}  // namespace

std::string format_bytes(std::int64_t bytes) {
  return format_with_unit(static_cast<double>(bytes), 1024.0, {"B", "KiB", "MiB", "GiB"});
}

std::string format_count(std::int64_t count) {
  return format_with_unit(static_cast<double>(count), 1000.0, {"", "thousand", "million", "billion"});
}

std::string url_host(const std::string& host) {
  if (host == "0.0.0.0" || host == "::") return "localhost";
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

}  // namespace easel
