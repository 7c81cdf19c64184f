// One client's socket as the stream that cpp-httplib reads requests from and writes responses to.
#pragma once

#include <httplib.h>
#include <poll.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "http/transport/timeouts.h"

namespace easel::http {

/// Owns a socket.
class Socket {
 public:
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  ~Socket();
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&&) = delete;

  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

/// Non-blocking socket; every wait has a deadline. Used by one thread at a time.
///
/// Reading delivers first the head that begin_request() was given, then the bytes of the body as they arrive. Bytes
/// that follow the body stay for the next request.
class SocketStream final : public httplib::Stream {
 public:
  /// @param socket    connected and non-blocking
  /// @param pressure  asked during every wait
  SocketStream(Socket socket, const ConnectionTimeouts& timeouts, std::function<Pressure()> pressure);

  enum class Arrival { kBytes, kEnd, kNothing };
  /// Appends what has arrived to received(), up to 16 KiB, without waiting. kEnd: the client sends no more.
  Arrival receive_available();
  /// Bytes that were received and not used yet.
  std::string& received() { return received_; }

  /// The next request begins. @param head  what read() delivers before the bytes of the body
  void begin_request(std::string head);
  /// The body is read from now on: its time begins. Only bytes of content give it more time, and justify bytes of
  /// framing.
  /// @param max_bytes  of content; read() fails instead of reading more
  void begin_body(std::size_t max_bytes);
  /// The server was not reading for so long.
  void postpone_body_deadline(std::chrono::nanoseconds time) { body_deadline_.postpone(time); }
  /// Writes fail from now on.
  void abandon() { abandoned_ = true; }
  void end_sending();

  /// Why read() failed.
  enum class Failure { kNone, kEnded, kTooSlow, kTooLarge, kTooMuchFraming, kMalformed };
  Failure failure() const { return failure_; }

  /// True when no response can reach the client any more.
  ///
  /// A client that has closed its connection and one that only has nothing more to send look alike: both sent a FIN.
  /// The second one still waits for its response. Therefore the first bytes of the response, which are always the same,
  /// are sent one at a time as probes: a closed socket answers them with a reset.
  ///
  /// Only before the response has begun; after that, see lost().
  bool gone();
  /// True when the connection is reset or closed in both directions. A client that has closed it is only noticed here
  /// after something was written to it.
  bool lost() const { return polled_events() & kLost; }
  /// True when the client sends no more.
  bool ended_sending() const { return polled_events() & (kLost | kEndedSending); }

  // httplib::Stream
  bool is_readable() const override { return !head_.empty() || !received_.empty(); }
  bool wait_readable() const override { return true; }
  bool wait_writable() const override { return !abandoned_; }
  bool is_peer_alive() const override { return !abandoned_; }
  ssize_t read(char* bytes, std::size_t size) override;
  ssize_t write(const char* bytes, std::size_t size) override;
  const char* buffered_data(std::size_t& size) const override;
  void consume_buffered(std::size_t size) override;
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_.descriptor(); }
  time_t duration() const override { return 0; }

 private:
  using Clock = std::chrono::steady_clock;

  static constexpr short kLost = POLLERR | POLLHUP | POLLNVAL;
  static constexpr short kEndedSending = POLLRDHUP;

  short polled_events() const;
  bool wait(short events, TransferDeadline& deadline) const;
  bool receive_body_bytes();
  /// Whether the framing of a chunked body takes more bytes than its content justifies.
  bool too_much_framing() const;
  /// Counts framing that the library has taken, and checks each of its lines.
  void add_framing(std::string_view bytes);
  void check_chunk_size(std::string_view line);
  bool has_bare_line_feed() const;

  const Socket socket_;
  const ConnectionTimeouts timeouts_;
  const std::function<Pressure()> pressure_;
  std::string head_;      // not read yet
  std::string received_;  // not read yet
  TransferDeadline body_deadline_;
  std::size_t max_content_bytes_ = 0;
  std::size_t content_bytes_ = 0;  // of the body, that were read
  std::size_t framing_bytes_ = 0;  // of the body: sizes and ends of chunks, trailers
  std::string framing_line_;       // of the framing, as far as it has been read
  bool in_trailers_ = false;       // the last chunk has begun
  char last_framing_byte_ = '\0';
  mutable bool reading_line_ = false;  // the next byte that is read belongs to a line of the framing
  bool abandoned_ = false;
  Failure failure_ = Failure::kNone;

  std::size_t probes_sent_ = 0;  // bytes of the response that gone() has sent
  Clock::time_point next_probe_{};
  std::chrono::milliseconds probe_interval_{0};
};

}  // namespace easel::http
