// RFC 9112 sections 3, 5 and 6, without the leniencies.
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

// Splits the target into the path and, for the absolute form a proxy uses, the authority.
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
    if (head.host.empty()) throw malformed("The request target names no host.");
    head.path = "/";
    break;
  }
  const auto path = target.substr(0, target.find('?'));
  if (!path.empty()) head.path = std::string(path);
  if (head.path.empty() || head.path.front() != '/') throw malformed("The request target must be a path.");
}

void read_request_line(std::string_view line, RequestHead& head) {
  const auto first_space = line.find(' ');
  const auto last_space = line.rfind(' ');
  if (first_space == std::string_view::npos || first_space == last_space) {
    throw malformed("The request line must be a method, a target and a version.");
  }
  const auto method = line.substr(0, first_space);
  const auto target = line.substr(first_space + 1, last_space - first_space - 1);
  const auto version = line.substr(last_space + 1);
  if (!is_token(method) || method.size() > kMaxMethodBytes) throw malformed("The request's method is none.");
  if (std::any_of(target.begin(), target.end(), [](char c) { return is_control(c) || c == ' '; })) {
    throw malformed("The request target holds a space or a control character.");
  }
  if (version.size() != 8 || !version.starts_with("HTTP/") || version[6] != '.') {
    throw malformed("The request line ends in no HTTP version.");
  }
  if (version[5] != '1') throw refuse(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here.");
  head.method = std::string(method);
  head.http_1_0 = version[7] == '0';
  read_target(target, head);
}

void read_field(std::string_view line, RequestHead& head) {
  if (line.front() == ' ' || line.front() == '\t') throw malformed("A header field is folded over several lines.");
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) throw malformed("A header line has no colon.");
  const auto name = line.substr(0, colon);
  if (!is_token(name)) throw malformed("A header field's name is not a token.");
  const auto value = trimmed(line.substr(colon + 1));
  if (std::any_of(value.begin(), value.end(), [](char c) { return is_control(c) && c != '\t'; })) {
    throw malformed("A header field's value holds a control character.");
  }
  if (head.headers.size() == kMaxHeaderFields) throw refuse(431, "The request has too many header fields.");
  head.headers.add(std::string(name), std::string(value));
}

void read_host(RequestHead& head) {
  const auto count = head.headers.count("Host");
  if (count > 1 || (count == 0 && !head.http_1_0)) throw malformed("An HTTP/1.1 request has exactly one Host field.");
  // The authority of an absolute target wins over the field (RFC 9112 section 3.2.2).
  if (head.host.empty() && count == 1) head.host = *head.headers.find("Host");
  if (head.host.find_first_of(" \t,/?#@\\") != std::string::npos) throw malformed("The request names no host.");
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
    throw malformed("The request says more than once how long its body is.");
  }
  if (encodings) {
    if (head.http_1_0) throw malformed("HTTP/1.0 knows no Transfer-Encoding.");
    if (!equal_ignoring_case(*head.headers.find("Transfer-Encoding"), "chunked")) {
      throw refuse(501, "The only Transfer-Encoding understood is chunked.");
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
  // An HTTP/1.0 client cannot know the interim answer that it would get.
  if (!expectation || head.http_1_0) return;
  if (!equal_ignoring_case(*expectation, "100-continue")) {
    throw refuse(417, "The only expectation understood is 100-continue.");
  }
  head.expects_continue = head.has_body();
}

}  // namespace

std::optional<std::size_t> HeadScanner::find_end(std::string_view bytes) {
  // Bytes of another protocol (a TLS hello, say) may never bring a line feed: the first one already tells.
  if (!bytes.empty() && !is_token_char(bytes.front())) throw malformed("This is no HTTP request.");
  for (; scanned_ < bytes.size(); ++scanned_) {
    if (in_request_line_ && scanned_ >= kMaxTargetBytes) throw refuse(414, "The request target is too long.");
    if (scanned_ >= kMaxHeadBytes) throw refuse(431, "The request's header is too large.");
    if (bytes[scanned_] != '\n') continue;
    if (scanned_ == 0 || bytes[scanned_ - 1] != '\r') throw malformed("A header line ends without a carriage return.");
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
