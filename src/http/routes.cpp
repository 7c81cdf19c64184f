// The table of routes and its matcher.
#include "http/routes.h"

#include <charconv>
#include <cstddef>

namespace easel::http {
namespace {

constexpr Route kRoutes[] = {
    {"GET", "", Endpoint::kRoot},
    {"GET", "health", Endpoint::kHealth},
    {"GET", "models", Endpoint::kModels},
    {"GET", "models/{...}", Endpoint::kModel},
    {"POST", "images/generations", Endpoint::kGenerations},
    // Azure's clients put the model into the path.
    {"GET", "openai/models", Endpoint::kModels},
    {"GET", "openai/models/{...}", Endpoint::kModel},
    {"POST", "openai/deployments/{}/images/generations", Endpoint::kGenerations},
};

using Segments = std::vector<std::string_view>;

// Empty segments vanish, so that //v1//models/ is /v1/models.
Segments split(std::string_view path) {
  Segments segments;
  while (!path.empty()) {
    const auto slash = path.find('/');
    if (slash != 0) segments.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return segments;
}

bool segment_is(std::string_view segment, std::string_view expected) {
  return segment == expected || (segment.find('%') != std::string_view::npos && percent_decode(segment) == expected);
}

// A client's base URL may or may not hold the version; the routes are the same.
Segments without_version(Segments segments) {
  const bool openai_first = segments.size() > 1 && segment_is(segments[0], "openai") && segment_is(segments[1], "v1");
  if (openai_first) segments.erase(segments.begin());
  if (!segments.empty() && segment_is(segments[0], "v1")) segments.erase(segments.begin());
  return segments;
}

std::string joined(const Segments& segments, std::size_t first) {
  std::string text;
  for (auto i = first; i < segments.size(); ++i) {
    if (i > first) text += '/';
    text += segments[i];
  }
  return text;
}

bool matches(const Segments& pattern, const Segments& segments, std::string& parameter) {
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (i >= segments.size()) return false;
    if (pattern[i] == "{...}") {
      parameter = joined(segments, i);
      return true;
    }
    if (pattern[i] == "{}") {
      parameter = std::string(segments[i]);
    } else if (!segment_is(segments[i], pattern[i])) {
      return false;
    }
  }
  return pattern.size() == segments.size();
}

}  // namespace

RouteMatch find_route(std::string_view method, std::string_view path) {
  const auto wanted = method == "HEAD" ? "GET" : method;
  const auto segments = without_version(split(path));
  RouteMatch match;
  for (const auto& route : kRoutes) {
    std::string parameter;
    if (!matches(split(route.pattern), segments, parameter)) continue;
    const bool is_get = std::string_view(route.method) == "GET";
    match.allow += (match.allow.empty() ? "" : ", ") + std::string(is_get ? "GET, HEAD" : route.method);
    if (route.method == wanted) {
      match.route = &route;
      match.parameter = parameter;
    }
  }
  if (!match.allow.empty()) match.allow += ", OPTIONS";
  return match;
}

std::string percent_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    const auto digits = text.substr(i + 1 < text.size() ? i + 1 : text.size(), 2);
    const bool escape = text[i] == '%' && digits.size() == 2 &&
                        std::from_chars(digits.data(), digits.data() + 2, byte, 16).ptr == digits.data() + 2;
    decoded += escape ? static_cast<char>(byte) : text[i];
    if (escape) i += 2;
  }
  return decoded;
}

}  // namespace easel::http
