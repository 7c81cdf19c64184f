// One client's connection: requests in, answers out, strictly framed and never waited for without end.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "http/transport/client.h"
#include "http/transport/message.h"
#include "http/transport/request_head.h"

namespace easel::http {

/// How long a connection may hold its thread. A head or a body must be whole in its time, however its bytes drip.
struct ConnectionTimeouts {
  std::chrono::milliseconds idle{60'000};   ///< for the next request
  std::chrono::milliseconds head{10'000};   ///< for the first request, and from a head's first byte to its last
  std::chrono::milliseconds body{30'000};   ///< for a body, and a second more for every 64 KiB received of it
  std::chrono::milliseconds write{30'000};  ///< for an answer, and a second more for every 64 KiB of it
  std::chrono::milliseconds linger{2'000};  ///< for a client to read an answer that it was still sending against
  // While somebody waits for a thread, at most:
  std::chrono::milliseconds idle_under_load{200};  ///< instead of idle
  std::chrono::milliseconds under_load{1'000};     ///< instead of head, body and linger
};

/// Used by one thread.
class Connection : public Client {
 public:
  /// @param socket   of a connected client; owned
  /// @param under_load  asked often: true while a thread is wanted elsewhere
  Connection(int socket, const ConnectionTimeouts& timeout, std::function<bool()> under_load);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// The next request's head; none when the client has left or had nothing to say for too long.
  /// @throws ProtocolError  what HeadScanner and parse_request_head throw; 408
  std::optional<RequestHead> read_head();

  void receive_body(std::size_t max_bytes, const Sink& sink) override;

  /// Reads past a body that nobody wanted, so that the next request can follow.
  /// @return false when that is not worth it, and the connection must end: too large, or the client waits to be asked
  bool skip_body(std::size_t max_bytes);

  /// A client that closed its connection and one that only has nothing more to send look alike: both sent a FIN. The
  /// second is owed its answer. So the answer's first bytes, which are the same for every answer, go out one at a time
  /// as probes: a closed socket replies to them with a reset, which is what is looked for.
  bool gone() override;

  const std::string& address() const override { return address_; }

  /// @param keep_alive  whether another request may follow
  /// @return false when the client did not take it
  bool write(const Response& response, bool keep_alive);

  /// Before the connection is dropped within a request: ends the sending side and reads what still comes, for a while.
  /// Closing at once would reset the connection and may take the answer from a client that is still sending.
  void linger();

 private:
  using Clock = std::chrono::steady_clock;
  enum class Got { kBytes, kEnd, kTimeout };

  bool wait(short events, Clock::time_point since, std::chrono::milliseconds timeout,
            std::chrono::milliseconds under_load);
  Got receive(Clock::time_point since, std::chrono::milliseconds timeout, std::chrono::milliseconds under_load);
  void receive_more_of_body(Clock::time_point since, std::size_t got_so_far);
  bool send(std::string_view head, std::string_view body);
  void drop_blank_lines();

  const int socket_;
  const std::string address_;
  const ConnectionTimeouts timeouts_;
  const std::function<bool()> under_load_;
  std::string received_;     // bytes not yet used
  RequestHead head_;         // of the request being served
  bool unread_ = false;      // the request has parts that were not received
  bool body_begun_ = false;  // and some of them were
  bool served_before_ = false;
  int blank_lines_ = 0;  // before the head being read

  std::size_t probes_sent_ = 0;  // bytes of the answer already sent by gone()
  Clock::time_point next_probe_{};
  std::chrono::milliseconds probe_interval_{0};
};

}  // namespace easel::http
