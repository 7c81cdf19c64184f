// Server-sent events (WHATWG HTML, section 9.2) on a streamed response.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "http/transport/message.h"
#include "http/wire/http_error.h"

namespace easel::http {

/// The members of a JSON object, as EventWriter::send takes them.
std::string without_braces(const std::string& object);

/// Writes events in the form that the parsers of OpenAI's SDKs read: one `event:` line, one `data:` line with JSON, one
/// blank line; never `id:` or `retry:`, which end the stream of some of them. Used by one thread.
class EventWriter {
 public:
  using Clock = std::chrono::steady_clock;

  /// Proxies close connections that are silent for about a minute.
  static constexpr std::chrono::milliseconds kKeepAliveInterval{10'000};

  /// @param body  must outlive it
  explicit EventWriter(BodyWriter& body, std::chrono::milliseconds keep_alive_interval = kKeepAliveInterval)
      : body_(body), keep_alive_interval_(keep_alive_interval) {}

  /// @param members  of the event's JSON object after its `type`: a JSON object on one line, without its braces
  /// @return false when the client has left
  bool send(const std::string& type, std::string_view members);

  /// The event `error`. No other event has a member `error`: some SDKs take every one for a failure.
  bool send_error(const HttpError& error);

  /// Writes a comment when nothing was written for a while, and after a shorter while when the client sends no more:
  /// then only writing shows whether it still reads.
  /// @return false when the client has left
  bool keep_alive();

 private:
  bool write(std::string_view bytes);

  BodyWriter& body_;
  const std::chrono::milliseconds keep_alive_interval_;
  Clock::time_point written_at_ = Clock::now();
};

/// The response whose body is a stream of events.
Response event_stream_response(std::function<void(BodyWriter&)> stream);

}  // namespace easel::http
