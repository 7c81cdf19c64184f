// One client's connection, from its first byte to its last.
#pragma once

#include <httplib.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "http/transport/client.h"
#include "http/transport/message.h"
#include "http/transport/protocol_error.h"
#include "http/transport/request_handler.h"
#include "http/transport/request_head.h"
#include "http/transport/socket_stream.h"
#include "http/transport/timeouts.h"

namespace easel::http {

/// While it waits for a head, a connection belongs to the event loop, which calls receive() and check_deadline(). Once
/// a head is complete it belongs to a worker, which calls serve(). Used by one thread at a time.
///
/// Every connection is a cpp-httplib server of its own, which handles one request at a time: it decodes the body and
/// writes the response. The head is read by easel (request_head.h). cpp-httplib gets a head that is written anew from
/// what was read and holds nothing but the framing of the body, so that no two readers can disagree about a request.
class Connection final : private Client, private httplib::Server {
 public:
  using Clock = std::chrono::steady_clock;

  /// What the connection needs next.
  enum class State {
    kWaiting,  ///< bytes
    kReady,    ///< serve()
    kEnded,    ///< to be destroyed
  };

  /// @param socket    connected and non-blocking
  /// @param pressure  asked while the connection holds a thread
  Connection(Socket socket, const ConnectionTimeouts& timeouts, std::function<Pressure()> pressure);
  ~Connection() override = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int descriptor() const { return stream_.socket(); }
  const std::string& address() const override { return address_; }
  /// When it was accepted, or when its last request ended.
  Clock::time_point waiting_since() const { return waiting_since_; }
  /// True while it waits only so that its client can read the last response.
  bool is_lingering() const { return lingering_; }

  /// Takes bytes that have arrived. Does not wait.
  State receive();
  /// Ends what has waited too long.
  State check_deadline(Clock::time_point now, Pressure pressure);

  /// Handles one request and writes its response. kWaiting: for the next request, or for a client that still sends to
  /// read the response that ends the connection.
  State serve(RequestHandler& handler);

 private:
  // Client
  void receive_body(std::size_t max_bytes, const Sink& sink) override;
  bool gone() override { return stream_.gone(); }

  void expect_request();
  State find_head();
  State discard();
  void respond(httplib::Response& response, const httplib::ContentReader& reader);
  void stream_body(httplib::Response& response);
  bool skip_body();
  ssize_t write_head(httplib::Stream& stream) const;

  SocketStream stream_;
  const std::string address_;
  const ConnectionTimeouts timeouts_;
  const std::function<Pressure()> pressure_;

  // Of the request that is awaited or read:
  Clock::time_point waiting_since_ = Clock::now();
  std::optional<Clock::time_point> begun_;  // its first byte was there
  HeadScanner scanner_;
  int blank_lines_ = 0;
  bool client_ended_ = false;  // it sends no more
  bool served_before_ = false;
  bool lingering_ = false;

  // Of the request that is served:
  RequestHead head_;
  std::optional<ProtocolError> refusal_;  // instead of a head
  RequestHandler* handler_ = nullptr;
  const httplib::ContentReader* reader_ = nullptr;
  std::optional<Response> response_;
  std::size_t content_length_ = 0;
  bool unread_ = false;      // a part of its body was not received
  bool body_begun_ = false;  // and another part was
  bool keep_alive_ = false;
};

}  // namespace easel::http
