// Origins and hosts are compared as text; clients are known by their keys or addresses.
#include "http/access/access.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/base64.h"
#include "core/text.h"
#include "http/transport/address.h"
#include "http/wire/http_error.h"

namespace easel::http {
namespace {

constexpr char kExposedHeaders[] =
    "x-request-id, retry-after, retry-after-ms, x-should-retry, openai-processing-ms, x-easel-queue-position, "
    "x-easel-estimated-wait, x-easel-waited, location, idempotent-replayed";
constexpr char kPreflightSeconds[] = "600";

HttpFailure forbidden(std::string message, const char* code) {
  return HttpFailure({.status = 403, .message = std::move(message), .type = "permission_error", .code = code});
}

HttpFailure unauthorized(std::string message, const char* code) {
  HttpError error{.status = 401, .message = std::move(message), .code = code};
  error.headers.add("WWW-Authenticate", "Bearer realm=\"easel\"");
  return HttpFailure(std::move(error));
}

// Whether the text, a whole authority, names this machine as only this machine can reach it.
bool is_local_authority(std::string_view text) {
  const auto authority = parse_authority(text);
  return authority && is_loopback(authority->host);
}

std::string_view without_scheme(std::string_view origin) {
  const auto separator = origin.find("://");
  return separator == std::string_view::npos ? origin : origin.substr(separator + 3);
}

std::string_view without_port(std::string_view authority, std::string_view port) {
  if (authority.ends_with(port)) authority.remove_suffix(port.size());
  return authority;
}

bool ends_with_ignoring_case(std::string_view text, std::string_view end) {
  return text.size() > end.size() && equal_ignoring_case(text.substr(text.size() - end.size()), end);
}

// Names that only a local resolver knows: a web page cannot have one. RFC 6761, RFC 6762, RFC 8375, ICANN's .internal,
// and domains of routers and of Kubernetes.
bool is_local_name(std::string_view host) {
  constexpr std::string_view kLocalDomains[] = {".localhost", ".local",       ".internal", ".lan",
                                                ".home.arpa", ".localdomain", ".svc"};
  return host.find('.') == std::string_view::npos ||
         std::any_of(std::begin(kLocalDomains), std::end(kLocalDomains),
                     [&](std::string_view domain) { return ends_with_ignoring_case(host, domain); });
}

std::string account_of(const std::string& address) {
  in6_addr bytes{};
  if (inet_pton(AF_INET6, address.c_str(), &bytes) != 1) return address;
  constexpr std::size_t kNetworkBytes = 8;
  std::fill(std::begin(bytes.s6_addr) + kNetworkBytes, std::end(bytes.s6_addr), std::uint8_t{0});
  std::array<char, INET6_ADDRSTRLEN> network{};
  inet_ntop(AF_INET6, &bytes, network.data(), network.size());
  return concat(network.data(), "/64");
}

// What follows the scheme in an Authorization header; none for another scheme.
std::optional<std::string_view> credentials(std::string_view authorization, std::string_view scheme) {
  const bool has_scheme = authorization.size() > scheme.size() && authorization[scheme.size()] == ' ' &&
                          equal_ignoring_case(authorization.substr(0, scheme.size()), scheme);
  if (!has_scheme) return std::nullopt;
  return trimmed(authorization.substr(scheme.size() + 1));
}

// The key of `Bearer KEY`, or the password of `Basic base64(user:KEY)` (RFC 7617), whatever the user is.
std::optional<std::string> presented_key(const std::string& authorization) {
  if (const auto key = credentials(authorization, "Bearer")) return std::string(*key);
  const auto basic = credentials(authorization, "Basic");
  const auto user_and_password = basic ? base64_decode(*basic) : std::nullopt;
  const auto colon = user_and_password ? user_and_password->find(':') : std::string::npos;
  if (colon == std::string::npos) return std::nullopt;
  return user_and_password->substr(colon + 1);
}

// Whether a page of that origin comes from this machine: http(s)://localhost:3000, for example.
bool is_local_origin(std::string_view origin) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (origin.starts_with(scheme)) return is_local_authority(origin.substr(scheme.size()));
  }
  return false;
}

}  // namespace

void check_operator(const Principal& principal, const char* what) {
  if (principal.is_operator) return;
  throw forbidden(
      concat(what,
             " is for operators only: clients whose key is marked \"operator\" in the file of --api-keys-file, or, on ",
             "a server without keys that was started with --local-operator, clients on its own machine."),
      "operator_needed");
}

Access::Access(AccessRules rules, ApiKeys& keys)
    : rules_(std::move(rules)), proxies_(rules_.trusted_proxies), keys_(keys) {
  for (auto& origin : rules_.allowed_origins) {
    if (origin.ends_with('/')) origin.pop_back();
  }
}

/// @param host  without port and brackets
bool Access::host_allowed(std::string_view host) const {
  if (is_ip_address(host) || is_local_name(host) || equal_ignoring_case(host, rules_.own_host)) return true;
  const auto same = [&](std::string_view name) { return equal_ignoring_case(name, host); };
  if (std::any_of(rules_.allowed_hosts.begin(), rules_.allowed_hosts.end(), same)) return true;
  const auto same_host = [&](const std::string& url) {
    const auto address = without_scheme(url);
    const auto allowed = parse_authority(address.substr(0, address.find('/')));
    return allowed && same(allowed->host);
  };
  if (same_host(rules_.public_url)) return true;
  return std::any_of(rules_.allowed_origins.begin(), rules_.allowed_origins.end(),
                     [&](const std::string& origin) { return origin == "*" || same_host(origin); });
}

void Access::check_host(const RequestSource& source) const {
  // An HTTP/1.0 client may send no Host; a browser always sends one.
  if (keys_.required() || source.host.empty()) return;
  const auto authority = parse_authority(source.host);
  auto host = authority ? authority->host : std::string_view();
  if (host.ends_with('.')) host.remove_suffix(1);  // a name that is written as complete
  if (!host.empty() && host_allowed(host)) return;
  throw forbidden(
      concat("This server does not know the name ", quote(source.host), " of the Host header as its own. If ",
             "it is, start the server with --allow-host NAME, or with API keys."),
      "host_not_allowed");
}

bool Access::origin_allowed(const std::string& origin, const RequestSource& source) const {
  const auto listed = [&](const std::string& allowed) {
    return allowed == "*" || equal_ignoring_case(allowed, origin);
  };
  if (std::any_of(rules_.allowed_origins.begin(), rules_.allowed_origins.end(), listed)) return true;
  if (is_loopback(rules_.own_host) && !keys_.required() && is_local_origin(origin)) return true;
  const std::string_view scheme = source.https ? "https://" : "http://";
  const std::string_view port = source.https ? ":443" : ":80";
  return origin.starts_with(scheme) && !source.host.empty() &&
         equal_ignoring_case(without_port(origin.substr(scheme.size()), port), without_port(source.host, port));
}

void Access::check_origin(const RequestHead& head, const RequestSource& source) const {
  for (const auto& field : head.headers) {
    if (equal_ignoring_case(field.name, "Origin") && !origin_allowed(field.value, source)) {
      throw forbidden("Web pages of this origin may not call this server: it is not one of the allowed origins.",
                      "origin_not_allowed");
    }
  }
}

Principal Access::identify(const RequestHead& head, const RequestSource& source) const {
  if (!keys_.required()) {
    return {.account = account_of(source.address),
            .is_operator = rules_.local_operator && !source.proxied && is_loopback(source.address) &&
                           is_local_authority(source.host)};
  }
  const auto* authorization = head.headers.find("Authorization");
  const auto* azure_key = head.headers.find("api-key");
  if (!authorization && !azure_key) {
    throw unauthorized("An API key is required: send it as `Authorization: Bearer KEY`.", "");
  }
  if (head.headers.count("Authorization") > 1 || head.headers.count("api-key") > 1) {
    throw unauthorized("More than one API key was sent.", "invalid_api_key");
  }
  if (azure_key) {
    if (const auto principal = keys_.find(*azure_key)) return *principal;
  }
  if (authorization) {
    if (const auto key = presented_key(*authorization)) {
      if (const auto principal = keys_.find(*key)) return *principal;
    }
  }
  throw unauthorized("The API key is not one of this server's.", "invalid_api_key");
}

bool Access::is_preflight(const RequestHead& head) {
  return head.method == "OPTIONS" && head.headers.find("Origin") && head.headers.find("Access-Control-Request-Method");
}

Response Access::preflight_response(const RequestHead& head) const {
  Response response;
  response.status = 204;
  response.headers.add("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS");
  response.headers.add("Access-Control-Max-Age", kPreflightSeconds);
  // Echoed, since "*" would not cover Authorization.
  if (const auto* names = head.headers.find("Access-Control-Request-Headers")) {
    response.headers.add("Access-Control-Allow-Headers", *names);
  }
  if (head.headers.find("Access-Control-Request-Private-Network")) {
    response.headers.add("Access-Control-Allow-Private-Network", "true");
  }
  return response;
}

void Access::add_cors(const RequestHead& head, const RequestSource& source, Response& response) const {
  response.headers.add("Vary", "Origin");
  const auto* origin = head.headers.find("Origin");
  if (!origin || !origin_allowed(*origin, source)) return;
  response.headers.add("Access-Control-Allow-Origin", *origin);
  response.headers.add("Access-Control-Expose-Headers", kExposedHeaders);
}

}  // namespace easel::http
