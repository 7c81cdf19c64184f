// Waits are polls in slices, so that pressure is noticed.
#include "http/transport/socket_stream.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace easel::http {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kSlice{100};
// What a client has not read is kept here rather than in the kernel: a client that asks for much and reads nothing
// would otherwise take some megabytes of the kernel's memory, and the time to fill them.
constexpr int kMaxUnsentBytes = 128 * 1024;
constexpr std::size_t kReceiveBytes = 16 * 1024;
// Chunk sizes, extensions and trailers may take so many bytes, and so many more for each byte of content: a client that
// sends single bytes as chunks needs six.
constexpr std::size_t kFramingBytes = 8 * 1024;
constexpr std::size_t kFramingBytesPerContentByte = 16;
constexpr std::string_view kStatusLinePrefix = "HTTP/1.1 ";
constexpr milliseconds kFirstProbeInterval{200};

void set_option(int socket, int level, int option, int value) {
  setsockopt(socket, level, option, &value, sizeof value);
}

}  // namespace

Socket::~Socket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

SocketStream::SocketStream(Socket socket, const ConnectionTimeouts& timeouts, std::function<Pressure()> pressure)
    : socket_(std::move(socket)),
      timeouts_(timeouts),
      pressure_(std::move(pressure)),
      body_deadline_(TransferDeadline::of_body(timeouts, Pressure::kNone)) {
  set_option(socket_.descriptor(), IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(socket_.descriptor(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, kMaxUnsentBytes);
  set_option(socket_.descriptor(), SOL_SOCKET, SO_KEEPALIVE, 1);
}

SocketStream::Arrival SocketStream::receive_available() {
  std::array<char, kReceiveBytes> bytes;
  const auto count = ::recv(socket_.descriptor(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (count > 0) {
    received_.append(bytes.data(), static_cast<std::size_t>(count));
    return Arrival::kBytes;
  }
  return count < 0 && (errno == EAGAIN || errno == EINTR) ? Arrival::kNothing : Arrival::kEnd;
}

void SocketStream::begin_request(std::string head) {
  head_ = std::move(head);
  failure_ = Failure::kNone;
  max_content_bytes_ = content_bytes_ = framing_bytes_ = 0;
  last_framing_byte_ = '\0';
  framing_line_.clear();
  in_trailers_ = false;
}

void SocketStream::begin_body(std::size_t max_bytes) {
  max_content_bytes_ = max_bytes;
  body_deadline_ = TransferDeadline::of_body(timeouts_, pressure_());
}

void SocketStream::end_sending() {
  ::shutdown(socket_.descriptor(), SHUT_WR);
}

short SocketStream::polled_events() const {
  pollfd poller{socket_.descriptor(), POLLRDHUP, 0};
  ::poll(&poller, 1, 0);
  return poller.revents;
}

bool SocketStream::gone() {
  const auto events = polled_events();
  if (events & kLost) return true;
  if (!(events & kEndedSending)) return false;
  if (probes_sent_ == kStatusLinePrefix.size() || Clock::now() < next_probe_) return false;
  const auto sent = ::send(socket_.descriptor(), &kStatusLinePrefix[probes_sent_], 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return errno != EAGAIN && errno != EINTR;
  ++probes_sent_;
  probe_interval_ = std::max(kFirstProbeInterval, probe_interval_ * 2);
  next_probe_ = Clock::now() + probe_interval_;
  return false;
}

// What is already there is always taken, late or not: a body has a size at which it ends.
bool SocketStream::wait(short events, TransferDeadline& deadline) const {
  while (true) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline.at(pressure_()) - Clock::now());
    pollfd poller{socket_.descriptor(), events, 0};
    ::poll(&poller, 1, static_cast<int>(std::clamp(left, milliseconds(0), kSlice).count()));
    if (poller.revents) return true;
    if (left <= milliseconds(0)) return false;
  }
}

bool SocketStream::receive_body_bytes() {
  while (received_.empty()) {
    if (!wait(POLLIN, body_deadline_)) {
      failure_ = Failure::kTooSlow;
      return false;
    }
    if (receive_available() == Arrival::kEnd) {
      failure_ = Failure::kEnded;
      return false;
    }
  }
  return true;
}

bool SocketStream::too_much_framing() const {
  return framing_bytes_ > kFramingBytes + kFramingBytesPerContentByte * content_bytes_;
}

void SocketStream::add_framing(std::string_view bytes) {
  framing_bytes_ += bytes.size();
  if (!bytes.empty()) last_framing_byte_ = bytes.back();
  for (const char c : bytes) {
    if (c != '\n') {
      if (framing_line_.size() < kFramingBytes) framing_line_ += c;
      continue;
    }
    check_chunk_size(framing_line_);
    framing_line_.clear();
  }
}

// cpp-httplib accepts a blank between the size of a chunk and the end of its line, which another server may take for a
// part of something else, and reports a size that no 64-bit integer holds as a fault of syntax.
void SocketStream::check_chunk_size(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (in_trailers_ || line.empty()) return;  // an empty line ends a chunk
  const auto rest = line.substr(std::min(line.find_first_not_of("0123456789abcdefABCDEF"), line.size()));
  const auto first_digit = std::min(line.find_first_not_of('0'), line.size() - rest.size());
  const auto digits = line.substr(first_digit, line.size() - rest.size() - first_digit);
  in_trailers_ = digits.empty() && rest.size() < line.size();
  constexpr std::size_t kMaxDigits = 16;
  if (!rest.empty() && rest.find_first_not_of(" \t") == std::string_view::npos) {
    failure_ = Failure::kMalformed;
  } else if (digits.size() > kMaxDigits) {
    failure_ = Failure::kTooLarge;
  }
}

// cpp-httplib would take a line feed without a carriage return for a part of the line and wait for more.
bool SocketStream::has_bare_line_feed() const {
  const auto at = received_.find('\n');
  if (at == std::string::npos) return false;
  return (at > 0 ? received_[at - 1] : last_framing_byte_) != '\r';
}

ssize_t SocketStream::read(char* bytes, std::size_t size) {
  if (!head_.empty()) {
    const auto count = head_.copy(bytes, size);
    head_.erase(0, count);
    return static_cast<ssize_t>(count);
  }
  const bool in_line = std::exchange(reading_line_, false);
  // The library asks for no more content than is left of the chunk, so that this shows before it arrives.
  if (!in_line && size > max_content_bytes_ - content_bytes_) failure_ = Failure::kTooLarge;
  if (too_much_framing()) failure_ = Failure::kTooMuchFraming;
  if (failure_ != Failure::kNone || !receive_body_bytes()) return -1;
  if (in_line && has_bare_line_feed()) {
    failure_ = Failure::kMalformed;
    return -1;
  }
  const auto count = received_.copy(bytes, size);
  received_.erase(0, count);
  if (in_line) {
    add_framing({bytes, count});
  } else {
    content_bytes_ += count;
    body_deadline_.progress(count);
  }
  return static_cast<ssize_t>(count);
}

// Asked for only while a line is read: the size of a chunk, its end, or a trailer. Where it gives nothing, read() is
// asked for one byte of that line.
const char* SocketStream::buffered_data(std::size_t& size) const {
  const bool in_head = !head_.empty();
  const auto& source = in_head ? head_ : received_;
  const bool usable =
      !source.empty() && (in_head || !(failure_ != Failure::kNone || too_much_framing() || has_bare_line_feed()));
  reading_line_ = !usable;
  size = usable ? source.size() : 0;
  return usable ? source.data() : nullptr;
}

void SocketStream::consume_buffered(std::size_t size) {
  if (!head_.empty()) {
    head_.erase(0, size);
    return;
  }
  add_framing(std::string_view(received_).substr(0, size));
  received_.erase(0, size);
}

ssize_t SocketStream::write(const char* bytes, std::size_t size) {
  if (abandoned_) return -1;
  std::string_view left(bytes, size);
  left.remove_prefix(std::min(std::exchange(probes_sent_, 0), size));
  auto deadline = TransferDeadline::of_response(timeouts_, pressure_());
  while (!left.empty()) {
    if (!wait(POLLOUT, deadline)) return -1;
    const auto count = ::send(socket_.descriptor(), left.data(), left.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno != EAGAIN && errno != EINTR) return -1;
    const auto sent = static_cast<std::size_t>(std::max<ssize_t>(count, 0));
    left.remove_prefix(sent);
    deadline.progress(sent);
  }
  return static_cast<ssize_t>(size);
}

}  // namespace easel::http
