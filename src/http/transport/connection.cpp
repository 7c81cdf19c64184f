// The loop of requests on a connection, on top of cpp-httplib's handling of one.
#include "http/transport/connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <exception>
#include <limits>
#include <string_view>
#include <utility>

#include "core/log.h"
#include "core/text.h"
#include "http/transport/address.h"

namespace easel::http {
namespace {

constexpr int kMaxBlankLines = 8;  // some clients send a line break too many after a body
// A body that no handler has read is skipped up to this size, so that the connection can go on.
constexpr std::size_t kMaxSkippedBytes = 16 * 1024;

ProtocolError too_slow() {
  return ProtocolError({.status = 408, .message = "The request did not arrive in time.", .close = true});
}
ProtocolError ended_early() {
  return ProtocolError({.status = 400, .message = "The request ended before it was complete.", .close = true});
}
ProtocolError too_large(std::string message) {
  return ProtocolError({.status = 413, .message = std::move(message), .close = true});
}

ProtocolError body_failure(SocketStream::Failure failure, std::size_t max_bytes) {
  switch (failure) {
    case SocketStream::Failure::kEnded:
      return ended_early();
    case SocketStream::Failure::kTooSlow:
      return too_slow();
    case SocketStream::Failure::kTooLarge:
      return too_large(concat("The request's body has more than ", max_bytes, " bytes."));
    case SocketStream::Failure::kTooMuchFraming:
      return ProtocolError(
          {.status = 400, .message = "The chunks of the request's body have too much framing.", .close = true});
    case SocketStream::Failure::kMalformed:
    case SocketStream::Failure::kNone:
      break;
  }
  return ProtocolError({.status = 400, .message = "The request's body is not valid chunked encoding.", .close = true});
}

std::string peer_address(int socket) {
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &length) != 0) return "unknown";
  return address_text(peer);
}

std::string http_date() {
  const auto now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 40> text{};
  const auto length = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return std::string(text.data(), length);
}

// The body of a response on its way through cpp-httplib.
class StreamedBody final : public BodyWriter {
 public:
  StreamedBody(httplib::DataSink& sink, const SocketStream& stream) : sink_(sink), stream_(stream) {}

  bool write(std::string_view bytes) override {
    failed_ = failed_ || !sink_.write(bytes.data(), bytes.size());
    return !failed_;
  }
  bool gone() override { return failed_ || stream_.lost(); }
  bool ended_sending() override { return stream_.ended_sending(); }
  bool failed() const { return failed_; }

 private:
  httplib::DataSink& sink_;
  const SocketStream& stream_;
  bool failed_ = false;
};

// POST, whatever the method was: cpp-httplib reads bodies of some methods only.
std::string framing_of(const RequestHead& head) {
  constexpr char kRequestLine[] = "POST / HTTP/1.1\r\n";
  if (head.chunked) return concat(kRequestLine, "Transfer-Encoding: chunked\r\n\r\n");
  return concat(kRequestLine, "Content-Length: ", head.body_bytes, "\r\n\r\n");
}

}  // namespace

Connection::Connection(Socket socket, const ConnectionTimeouts& timeouts, std::function<Pressure()> pressure)
    : stream_(std::move(socket), timeouts, pressure),
      address_(peer_address(stream_.socket())),
      timeouts_(timeouts),
      pressure_(std::move(pressure)) {
  // The library writes no streamed bodies while its server does not listen.
  svr_sock_ = stream_.socket();
  // Limits of bodies are the handler's.
  set_payload_max_length(std::numeric_limits<std::size_t>::max());
  Post("/", [this](const httplib::Request&, httplib::Response& response, const httplib::ContentReader& reader) {
    respond(response, reader);
  });
  set_header_writer([this](httplib::Stream& stream, httplib::Headers&) { return write_head(stream); });
}

void Connection::expect_request() {
  waiting_since_ = Clock::now();
  begun_.reset();
  scanner_ = {};
  blank_lines_ = 0;
}

Connection::State Connection::receive() {
  if (lingering_) return discard();
  const auto arrival = stream_.receive_available();
  if (arrival == SocketStream::Arrival::kEnd) client_ended_ = true;
  return find_head();
}

Connection::State Connection::discard() {
  const auto arrival = stream_.receive_available();
  stream_.received().clear();
  return arrival == SocketStream::Arrival::kEnd ? State::kEnded : State::kWaiting;
}

Connection::State Connection::find_head() {
  auto& bytes = stream_.received();
  head_ = {};
  try {
    while (!begun_ && bytes.starts_with("\r\n")) {
      if (++blank_lines_ > kMaxBlankLines) {
        throw ProtocolError({.status = 400, .message = "A request must begin with its request line.", .close = true});
      }
      bytes.erase(0, 2);
    }
    if (!bytes.empty() && bytes != "\r") {
      if (!begun_) begun_ = Clock::now();
      if (const auto end = scanner_.find_end(bytes)) {
        head_ = parse_request_head(std::string_view(bytes).substr(0, *end));
        bytes.erase(0, *end);
        return State::kReady;
      }
    }
    if (!client_ended_) return State::kWaiting;
    if (!begun_) return State::kEnded;
    throw ended_early();
  } catch (const ProtocolError& unreadable) {
    refusal_ = unreadable;
    return State::kReady;
  }
}

Connection::State Connection::check_deadline(Clock::time_point now, Pressure pressure) {
  if (lingering_) {
    const auto linger =
        pressure == Pressure::kNone ? timeouts_.linger : std::min(timeouts_.linger, timeouts_.under_load);
    return now < waiting_since_ + linger ? State::kWaiting : State::kEnded;
  }
  const auto timeout = !begun_ && served_before_ ? timeouts_.idle : timeouts_.head;
  if (now < begun_.value_or(waiting_since_) + timeout) return State::kWaiting;
  if (!begun_) return State::kEnded;
  refusal_ = too_slow();
  return State::kReady;
}

Connection::State Connection::serve(RequestHandler& handler) {
  handler_ = &handler;
  response_.reset();
  unread_ = refusal_ || head_.has_body();
  body_begun_ = keep_alive_ = false;
  stream_.begin_request(framing_of(head_));
  bool closed = false;
  const bool written = process_request(stream_, address_, 0, "", 0, /*close_connection=*/false, closed, nullptr);
  served_before_ = true;
  refusal_.reset();
  if (!written || !response_) return State::kEnded;
  expect_request();
  if (keep_alive_) return find_head();
  // Closing now would reset the connection, and a client that is still sending might lose the response.
  stream_.end_sending();
  lingering_ = true;
  return unread_ ? State::kWaiting : State::kEnded;
}

// The handler that cpp-httplib calls within process_request().
void Connection::respond(httplib::Response& response, const httplib::ContentReader& reader) {
  reader_ = &reader;
  try {
    response_ = refusal_ ? handler_->refuse(*refusal_) : handler_->handle(head_, *this);
    const bool length_is_known = response_ && !(response_->stream && head_.http_1_0);
    keep_alive_ = response_ && !refusal_ && head_.keep_alive && !response_->close && length_is_known &&
                  pressure_() != Pressure::kStopping && skip_body();
  } catch (const std::exception& error) {
    log::error(concat("a connection was dropped: ", error.what()));
    response_.reset();
  }
  reader_ = nullptr;
  if (!response_) return stream_.abandon();
  response.status = response_->status;
  // Tells the library not to read what is left of the body.
  if (!keep_alive_) response.set_header("Connection", "close");
  if (response_->stream) return stream_body(response);
  content_length_ = response_->body.size();
  if (head_.method != "HEAD" && response_->status != 204) response.body = std::move(response_->body);
}

// HTTP/1.0 has no chunked encoding: the body ends with the connection.
void Connection::stream_body(httplib::Response& response) {
  const auto provide = [this](std::size_t, httplib::DataSink& sink) {
    StreamedBody body(sink, stream_);
    response_->stream(body);
    response_->stream = nullptr;
    if (!body.failed()) sink.done();
    return !body.failed();
  };
  if (head_.http_1_0) {
    response.set_content_provider("", provide);
  } else {
    response.set_chunked_content_provider("", provide);
  }
}

// Instead of the library's own headers: it closes after every error, and adds headers unasked.
ssize_t Connection::write_head(httplib::Stream& stream) const {
  if (!response_) return -1;  // the client has left
  std::string text;
  for (const auto& field : response_->headers) text += concat(field.name, ": ", field.value, "\r\n");
  text += concat("Date: ", http_date(), "\r\n");
  if (response_->stream) {
    if (!head_.http_1_0) text += "Transfer-Encoding: chunked\r\n";
  } else if (response_->status != 204) {
    text += concat("Content-Length: ", content_length_, "\r\n");
  }
  // Written also where it is HTTP/1.1's default: HTTP/1.0 clients that asked for it look for it.
  text += keep_alive_ ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return stream.write(text.data(), text.size());
}

void Connection::receive_body(std::size_t max_bytes, const Sink& sink) {
  if (!unread_) return;
  if (head_.body_bytes > max_bytes) {
    throw too_large(
        concat("The request's body has ", head_.body_bytes, " bytes; at most ", max_bytes, " are allowed."));
  }
  constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  if (head_.expects_continue && stream_.received().empty()) stream_.write(kContinue.data(), kContinue.size());
  body_begun_ = true;
  stream_.begin_body(max_bytes);
  std::exception_ptr failure;  // the library is not made for exceptions of its receivers
  const bool complete = (*reader_)([&](const char* bytes, std::size_t count) {
    const auto begun = Clock::now();
    try {
      sink(std::string_view(bytes, count));
    } catch (...) {
      failure = std::current_exception();
    }
    stream_.postpone_body_deadline(Clock::now() - begun);
    return !failure;
  });
  if (failure) std::rethrow_exception(failure);
  if (!complete) throw body_failure(stream_.failure(), max_bytes);
  unread_ = false;
}

// Reads past a body that no handler wanted, so that the next request can follow. False when the connection must end:
// the body is too large, or the client waits until it is asked for it.
bool Connection::skip_body() {
  if (!unread_) return true;
  if (head_.expects_continue || body_begun_) return false;
  try {
    receive_body(kMaxSkippedBytes, [](std::string_view) {});
  } catch (const ProtocolError&) {
    return false;  // the response that is about to be written is the one that counts
  }
  return true;
}

}  // namespace easel::http
