// Sockets in non-blocking use: every wait is a poll in slices, so that a deadline and `under_load` are always looked
// at.
#include "http/transport/connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <utility>

#include "core/text.h"
#include "http/transport/address.h"
#include "http/transport/chunked.h"
#include "http/transport/protocol_error.h"

namespace easel::http {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kSlice{50};
constexpr std::size_t kReceiveBytes = 16 * 1024;
constexpr std::size_t kBytesPerExtraSecond = 64 * 1024;
constexpr int kMaxBlankLines = 8;  // some clients end a body with a line break too many
constexpr std::string_view kStatusLinePrefix = "HTTP/1.1 ";
constexpr milliseconds kFirstProbeInterval{200};

ProtocolError too_slow() {
  return ProtocolError({.status = 408, .message = "The request did not arrive in time.", .close = true});
}
ProtocolError ended_early() {
  return ProtocolError({.status = 400, .message = "The request ended before it was complete.", .close = true});
}

// What a client that keeps sending, or a large answer, is given beyond the usual patience.
std::chrono::seconds extra_time(std::size_t bytes) {
  return std::chrono::seconds(bytes / kBytesPerExtraSecond);
}

void set_option(int socket, int level, int option) {
  const int on = 1;
  setsockopt(socket, level, option, &on, sizeof on);
}

std::string http_date() {
  const auto now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 40> text{};
  const auto length = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return std::string(text.data(), length);
}

std::string head_of(const Response& response, bool keep_alive) {
  std::string head = concat(kStatusLinePrefix, response.status, " ", reason_phrase(response.status), "\r\n");
  for (const auto& field : response.headers) head += concat(field.name, ": ", field.value, "\r\n");
  head += concat("Date: ", http_date(), "\r\n");
  if (response.status != 204) head += concat("Content-Length: ", response.body.size(), "\r\n");
  // Spelled out also where it is HTTP/1.1's default: HTTP/1.0 clients that asked for it look for it.
  head += keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return head;
}

std::string peer_address(int socket) {
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &length) != 0) return "unknown";
  return address_text(peer);
}

}  // namespace

Connection::Connection(int socket, const ConnectionTimeouts& timeout, std::function<bool()> under_load)
    : socket_(socket), address_(peer_address(socket)), timeouts_(timeout), under_load_(std::move(under_load)) {
  set_option(socket_, IPPROTO_TCP, TCP_NODELAY);
  set_option(socket_, SOL_SOCKET, SO_KEEPALIVE);
}

Connection::~Connection() {
  ::close(socket_);
}

// What is already there is always taken, late or not: both a head and a body have a size at which they end.
bool Connection::wait(short events, Clock::time_point since, milliseconds timeout, milliseconds under_load) {
  while (true) {
    const auto limit = under_load_() ? std::min(timeout, under_load) : timeout;
    const auto left = std::chrono::duration_cast<milliseconds>(since + limit - Clock::now());
    pollfd poller{socket_, events, 0};
    ::poll(&poller, 1, static_cast<int>(std::clamp(left, milliseconds(0), kSlice).count()));
    if (poller.revents) return true;
    if (left <= milliseconds(0)) return false;
  }
}

Connection::Got Connection::receive(Clock::time_point since, milliseconds timeout, milliseconds under_load) {
  std::array<char, kReceiveBytes> bytes;
  while (wait(POLLIN, since, timeout, under_load)) {
    const auto count = ::recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (count > 0) {
      received_.append(bytes.data(), static_cast<std::size_t>(count));
      return Got::kBytes;
    }
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    return Got::kEnd;
  }
  return Got::kTimeout;
}

void Connection::drop_blank_lines() {
  while (received_.starts_with("\r\n")) {
    if (++blank_lines_ > kMaxBlankLines) {
      throw ProtocolError({.status = 400, .message = "A request begins with its request line.", .close = true});
    }
    received_.erase(0, 2);
  }
}

std::optional<RequestHead> Connection::read_head() {
  const auto waiting_since = Clock::now();
  std::optional<Clock::time_point> begun;
  HeadScanner scanner;
  head_ = {};
  blank_lines_ = 0;
  unread_ = true;
  body_begun_ = false;
  while (true) {
    if (!begun) drop_blank_lines();
    if (!received_.empty() && received_ != "\r") {
      if (!begun) begun = Clock::now();
      if (const auto end = scanner.find_end(received_)) {
        head_ = parse_request_head(std::string_view(received_).substr(0, *end));
        received_.erase(0, *end);
        unread_ = head_.has_body();
        served_before_ = true;
        return head_;
      }
    }
    const bool idle = !begun && served_before_;
    const auto got = idle ? receive(waiting_since, timeouts_.idle, timeouts_.idle_under_load)
                          : receive(begun.value_or(waiting_since), timeouts_.head, timeouts_.under_load);
    if (got == Got::kBytes) continue;
    if (!begun) return std::nullopt;
    throw got == Got::kEnd ? ended_early() : too_slow();
  }
}

void Connection::receive_more_of_body(Clock::time_point since, std::size_t got_so_far) {
  const auto earned = extra_time(got_so_far);
  const auto got = receive(since, timeouts_.body + earned, timeouts_.under_load + earned);
  if (got == Got::kEnd) throw ended_early();
  if (got == Got::kTimeout) throw too_slow();
}

void Connection::receive_body(std::size_t max_bytes, const Sink& sink) {
  if (!unread_) return;
  if (head_.body_bytes > max_bytes) {
    throw ProtocolError(
        {.status = 413,
         .message = concat("The request's body has ", head_.body_bytes, " bytes; at most ", max_bytes, " are allowed."),
         .close = true});
  }
  if (head_.expects_continue && received_.empty()) send("HTTP/1.1 100 Continue\r\n\r\n", {});
  body_begun_ = true;
  const auto since = Clock::now();
  std::size_t got = 0;
  if (head_.chunked) {
    ChunkedDecoder decoder(max_bytes);
    while (true) {
      got += received_.size();
      received_.erase(0, decoder.feed(received_));
      sink(decoder.take_body());
      if (decoder.done()) break;
      receive_more_of_body(since, got);
    }
  } else {
    const auto length = static_cast<std::size_t>(head_.body_bytes);
    while (true) {
      const auto count = std::min(received_.size(), length - got);
      sink(std::string_view(received_).substr(0, count));
      received_.erase(0, count);
      got += count;
      if (got == length) break;
      receive_more_of_body(since, got);
    }
  }
  unread_ = false;
}

bool Connection::skip_body(std::size_t max_bytes) {
  if (!unread_) return true;
  if (head_.expects_continue || body_begun_) return false;
  try {
    receive_body(max_bytes, [](std::string_view) {});
  } catch (const ProtocolError&) {
    return false;  // the answer that is about to be written is the one that counts
  }
  return true;
}

bool Connection::gone() {
  pollfd poller{socket_, POLLRDHUP, 0};
  ::poll(&poller, 1, 0);
  if (poller.revents & (POLLERR | POLLHUP | POLLNVAL)) return true;
  if (!(poller.revents & POLLRDHUP)) return false;
  if (probes_sent_ == kStatusLinePrefix.size() || Clock::now() < next_probe_) return false;
  const auto sent = ::send(socket_, &kStatusLinePrefix[probes_sent_], 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return errno != EAGAIN && errno != EINTR;
  ++probes_sent_;
  probe_interval_ = std::max(kFirstProbeInterval, probe_interval_ * 2);
  next_probe_ = Clock::now() + probe_interval_;
  return false;
}

bool Connection::write(const Response& response, bool keep_alive) {
  const auto head = head_of(response, keep_alive);
  const auto left_of_head = std::string_view(head).substr(std::exchange(probes_sent_, 0));
  const bool bodiless = head_.method == "HEAD" || response.status == 204;
  return send(left_of_head, bodiless ? std::string_view() : std::string_view(response.body));
}

bool Connection::send(std::string_view head, std::string_view body) {
  const auto since = Clock::now();
  const auto timeout = timeouts_.write + extra_time(body.size());
  while (!head.empty() || !body.empty()) {
    if (!wait(POLLOUT, since, timeout, timeout)) return false;
    std::array<iovec, 2> parts{
        {{const_cast<char*>(head.data()), head.size()}, {const_cast<char*>(body.data()), body.size()}}};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const auto count = ::sendmsg(socket_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno != EAGAIN && errno != EINTR) return false;
    const auto sent = static_cast<std::size_t>(std::max<ssize_t>(count, 0));
    body.remove_prefix(sent - std::min(sent, head.size()));
    head.remove_prefix(std::min(sent, head.size()));
  }
  return true;
}

void Connection::linger() {
  if (!unread_) return;
  ::shutdown(socket_, SHUT_WR);
  const auto since = Clock::now();
  do {
    received_.clear();
  } while (Clock::now() < since + timeouts_.linger &&
           receive(since, timeouts_.linger, timeouts_.under_load) == Got::kBytes);
}

}  // namespace easel::http
