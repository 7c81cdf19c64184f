#include "http/openai/streaming/late_response.h"

#include <algorithm>
#include <exception>

#include "http/wire/http_error.h"

namespace easel::http {
namespace {

using LateClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLeavePollInterval{100};

// False when the client left before the job ended.
bool write_blanks(Job& job, BodyWriter& body, std::chrono::milliseconds interval) {
  if (!body.write(" ")) return false;
  auto next = LateClock::now() + interval;
  while (!job.wait_for(std::min(kLeavePollInterval, interval))) {
    if (body.gone()) return false;
    if (LateClock::now() < next) continue;
    if (!body.write(" ")) return false;
    next = LateClock::now() + interval;
  }
  return true;
}

}  // namespace

StreamEnd write_late_body(Job& job, const std::function<std::string()>& body_of, BodyWriter& body,
                          std::chrono::milliseconds interval,
                          const std::function<std::string(const HttpError&)>& error_of) {
  if (!write_blanks(job, body, interval)) {
    job.cancel();
    return {.client_left = true};
  }
  StreamEnd end;
  std::string text;
  try {
    text = body_of();
  } catch (const HttpFailure& failure) {
    end.error = failure.error();
  } catch (const std::exception& error) {
    end.error = unexpected_error(error.what());
  }
  end.client_left = !body.write(end.error ? error_of(*end.error) : text);
  return end;
}

}  // namespace easel::http
