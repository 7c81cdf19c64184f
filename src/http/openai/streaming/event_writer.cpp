// Framing of events.
#include "http/openai/streaming/event_writer.h"

#include <algorithm>
#include <utility>

namespace easel::http {
namespace {

constexpr std::chrono::milliseconds kProbeInterval{200};  // between comments to a client that may have left

}  // namespace

std::string without_braces(const std::string& object) {
  return object.substr(1, object.size() - 2);
}

bool EventWriter::send(const std::string& type, std::string_view members) {
  std::string event;
  constexpr std::size_t kFramingBytes = 64;
  event.reserve(members.size() + 2 * type.size() + kFramingBytes);
  event += "event: " + type + "\ndata: {\"type\":\"" + type + "\",";
  event += members;
  event += "}\n\n";
  return write(event);
}

bool EventWriter::send_error(const HttpError& error) {
  return send("error", without_braces(error_body(error)));
}

bool EventWriter::keep_alive() {
  if (body_.gone()) return false;
  const auto interval = body_.ended_sending() ? std::min(kProbeInterval, keep_alive_interval_) : keep_alive_interval_;
  return Clock::now() < written_at_ + interval || write(":\n\n");
}

bool EventWriter::write(std::string_view bytes) {
  const bool written = body_.write(bytes);
  written_at_ = Clock::now();
  return written;
}

Response event_stream_response(std::function<void(BodyWriter&)> stream) {
  Response response;
  response.headers.add("Content-Type", "text/event-stream; charset=utf-8");
  response.headers.add("Cache-Control", "no-cache");
  response.headers.add("X-Accel-Buffering", "no");  // nginx would collect events before it passes them on
  response.stream = std::move(stream);
  return response;
}

}  // namespace easel::http
