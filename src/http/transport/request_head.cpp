// RFC 9112 sections 3, 5 and 6, without what it merely tolerates.
#include "http/transport/request_head.h"

#include <algorithm>
#include <charconv>

#include "http/transport/protocol_error.h"

namespace easel::http {
namespace {

constexpr std::size_t kMaxMethodBytes = 32;

ProtocolError refuse(int status, std::string message) {
  return ProtocolError({.status = status, .message = std::move(message), .close = true});
}
ProtocolError malformed(std::string message) {
  return refuse(400, std::move(message));
}

bool is_token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

// Splits the target into the path and, in the absolute form that proxies use, the authority.
void read_target(std::string_view target, RequestHead& head) {
  if (target == "*" && head.method == "OPTIONS") {
    head.path = "*";
    return;
  }
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!equal_ignoring_case(target.substr(0, scheme.size()), scheme)) continue;
    target.remove_prefix(scheme.size());
    const auto authority_end = std::min(target.find_first_of("/?"), target.size());
    head.host = std::string(target.substr(0, authority_end));
    target.remove_prefix(authority_end);
    if (head.host.empty()) throw malformed("The request target has no host.");
    head.path = "/";
    break;
  }
  const auto path = target.substr(0, target.find('?'));
  if (path.size() < target.size()) head.query = std::string(target.substr(path.size() + 1));
  if (!path.empty()) head.path = std::string(path);
  if (head.path.empty() || head.path.front() != '/') throw malformed("The request target must be a path.");
}

void read_request_line(std::string_view line, RequestHead& head) {
  const auto first_space = line.find(' ');
  const auto last_space = line.rfind(' ');
  if (first_space == std::string_view::npos || first_space == last_space) {
    throw malformed("The request line must consist of a method, a target and a version.");
  }
  const auto method = line.substr(0, first_space);
  const auto target = line.substr(first_space + 1, last_space - first_space - 1);
  const auto version = line.substr(last_space + 1);
  if (!is_token(method) || method.size() > kMaxMethodBytes) throw malformed("Invalid request method.");
  if (std::any_of(target.begin(), target.end(), [](char c) { return is_control(c) || c == ' '; })) {
    throw malformed("The request target contains a space or a control character.");
  }
  if (version.size() != 8 || !version.starts_with("HTTP/") || version[6] != '.') {
    throw malformed("Malformed HTTP version.");
  }
  if (version[5] != '1') throw refuse(505, "This server speaks HTTP/1.0 and HTTP/1.1 only.");
  head.method = std::string(method);
  head.http_1_0 = version[7] == '0';
  read_target(target, head);
}

void read_field(std::string_view line, RequestHead& head) {
  if (line.front() == ' ' || line.front() == '\t')
    throw malformed("A header is folded over several lines, which is not supported.");
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) throw malformed("A header line has no colon.");
  const auto name = line.substr(0, colon);
  if (!is_token(name)) throw malformed("A header name contains characters that are not allowed.");
  const auto value = trimmed(line.substr(colon + 1));
  if (std::any_of(value.begin(), value.end(), [](char c) { return is_control(c) && c != '\t'; })) {
    throw malformed("A header value contains a control character.");
  }
  if (head.headers.size() == kMaxHeaderFields) throw refuse(431, "The request has too many headers.");
  head.headers.add(std::string(name), std::string(value));
}

void read_host(RequestHead& head) {
  const auto count = head.headers.count("Host");
  if (count > 1 || (count == 0 && !head.http_1_0))
    throw malformed("An HTTP/1.1 request must have exactly one Host header.");
  // The authority of an absolute target wins over the field (RFC 9112 section 3.2.2).
  if (head.host.empty() && count == 1) head.host = *head.headers.find("Host");
  if (head.host.find_first_of(" \t,/?#@\\") != std::string::npos)
    throw malformed("The Host of the request is not valid.");
}

void read_content_length(const std::string& value, RequestHead& head) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (value.empty() || !std::all_of(value.begin(), value.end(), is_digit)) {
    throw malformed("Content-Length is not a number.");
  }
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), head.body_bytes);
  if (error != std::errc()) throw refuse(413, "The declared body is too large.");
}

void read_framing(RequestHead& head) {
  const auto lengths = head.headers.count("Content-Length");
  const auto encodings = head.headers.count("Transfer-Encoding");
  if (lengths > 1 || encodings > 1 || (lengths && encodings)) {
    throw malformed("The length of the request's body is stated more than once.");
  }
  if (encodings) {
    if (head.http_1_0) throw malformed("HTTP/1.0 has no Transfer-Encoding.");
    if (!equal_ignoring_case(*head.headers.find("Transfer-Encoding"), "chunked")) {
      throw refuse(501, "The only supported Transfer-Encoding is chunked.");
    }
    head.chunked = true;
  }
  if (lengths) read_content_length(*head.headers.find("Content-Length"), head);
}

void read_connection(RequestHead& head) {
  head.keep_alive = !head.http_1_0;
  for (const auto& field : head.headers) {
    if (!equal_ignoring_case(field.name, "Connection")) continue;
    for (const auto option : list_elements(field.value)) {
      if (equal_ignoring_case(option, "close")) {
        head.keep_alive = false;
        return;
      }
      if (equal_ignoring_case(option, "keep-alive")) head.keep_alive = true;
    }
  }
}

void read_expectation(RequestHead& head) {
  const auto* expectation = head.headers.find("Expect");
  // An HTTP/1.0 client would not understand the interim response.
  if (!expectation || head.http_1_0) return;
  if (!equal_ignoring_case(*expectation, "100-continue")) {
    throw refuse(417, "The only supported expectation is 100-continue.");
  }
  head.expects_continue = head.has_body();
}

}  // namespace

std::optional<std::size_t> HeadScanner::find_end(std::string_view bytes) {
  // Bytes of another protocol, such as a TLS hello, may never contain a line feed, but the first byte shows what they
  // are.
  if (!bytes.empty() && !is_token_char(bytes.front())) throw malformed("This is not an HTTP request.");
  for (; scanned_ < bytes.size(); ++scanned_) {
    if (in_request_line_ && scanned_ >= kMaxTargetBytes) throw refuse(414, "The request target is too long.");
    if (scanned_ >= kMaxHeadBytes) throw refuse(431, "The request's headers are too large.");
    if (bytes[scanned_] != '\n') continue;
    if (scanned_ == 0 || bytes[scanned_ - 1] != '\r')
      throw malformed("A header line does not end with a carriage return and a line feed.");
    const bool blank = scanned_ - 1 == line_start_;
    in_request_line_ = false;
    line_start_ = scanned_ + 1;
    if (blank) return line_start_;
  }
  return std::nullopt;
}

RequestHead parse_request_head(std::string_view text) {
  RequestHead head;
  bool first = true;
  while (!text.starts_with("\r\n")) {
    const auto end = text.find("\r\n");
    const auto line = text.substr(0, end);
    first ? read_request_line(line, head) : read_field(line, head);
    first = false;
    text.remove_prefix(end + 2);
  }
  read_host(head);
  read_framing(head);
  read_connection(head);
  read_expectation(head);
  return head;
}

}  // namespace easel::http
