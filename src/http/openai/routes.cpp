// The table of routes and its matcher.
#include "http/openai/routes.h"

#include <charconv>
#include <cstddef>

namespace easel::http {
namespace {

constexpr Route kRoutes[] = {
    {"GET", "", Endpoint::kRoot},
    {"GET", "health", Endpoint::kHealth},
    {"GET", "ready", Endpoint::kReady},
    {"GET", "metrics", Endpoint::kMetrics},
    {"GET", "models", Endpoint::kModels},
    {"GET", "models/{...}", Endpoint::kModel},
    {"POST", "models/{...}/load", Endpoint::kLoadModel},
    {"POST", "models/{...}/unload", Endpoint::kUnloadModel},
    {"POST", "images/generations", Endpoint::kGenerations},
    {"POST", "images/edits", Endpoint::kEdits},
    {"POST", "images/variations", Endpoint::kVariations},
    {"POST", "images/upscale", Endpoint::kUpscale},
    // Azure's clients put the model into the path.
    {"GET", "openai/models", Endpoint::kModels},
    {"GET", "openai/models/{...}", Endpoint::kModel},
    {"POST", "openai/deployments/{}/images/generations", Endpoint::kGenerations},
    {"POST", "openai/deployments/{}/images/edits", Endpoint::kEdits},
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

std::string joined(const Segments& segments, std::size_t first, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) text += '/';
    text += segments[first + i];
  }
  return text;
}

bool matches(const Segments& pattern, const Segments& segments, std::string& parameter) {
  if (segments.size() < pattern.size()) return false;
  std::size_t used = 0;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    // What is left for "{...}" when every segment of the pattern behind it has got its own.
    const auto count = pattern[i] == "{...}" ? segments.size() - used - (pattern.size() - i - 1) : 1;
    if (pattern[i].starts_with('{')) {
      parameter = joined(segments, used, count);
    } else if (!segment_is(segments[used], pattern[i])) {
      return false;
    }
    used += count;
  }
  return used == segments.size();
}

}  // namespace

const char* canonical_path(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::kRoot:
      return "/v1/";
    case Endpoint::kHealth:
      return "/health";
    case Endpoint::kReady:
      return "/ready";
    case Endpoint::kMetrics:
      return "/metrics";
    case Endpoint::kModels:
      return "/v1/models";
    case Endpoint::kModel:
      return "/v1/models/{id}";
    case Endpoint::kLoadModel:
      return "/v1/models/{id}/load";
    case Endpoint::kUnloadModel:
      return "/v1/models/{id}/unload";
    case Endpoint::kGenerations:
      return "/v1/images/generations";
    case Endpoint::kEdits:
      return "/v1/images/edits";
    case Endpoint::kVariations:
      return "/v1/images/variations";
    case Endpoint::kUpscale:
      return "/v1/images/upscale";
  }
  return "";
}

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
