// The loop of a stream. The end of a job ends every wait at once; the rest is polled.
#include "http/openai/streaming/image_stream.h"

#include <cmath>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "http/wire/json_text.h"

namespace easel::http {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kPollInterval{50};
constexpr milliseconds kMaxWaitForStart{1'000};
constexpr char kProgressEvent[] = "image_generation.progress";

// One thread's view of a stream.
class Streamer {
 public:
  Streamer(Job& job, ProgressFeed& feed, const StreamFormat& format, EventWriter& events)
      : job_(job), feed_(feed), format_(format), events_(events) {}

  /// @return false when the client has left
  bool send_news(bool ended) {
    const auto news = feed_.take();
    if (format_.with_progress && (news.changed || !progress_sent_) && !ended && !send_progress(news.step)) return false;
    for (const auto& preview : news.previews) {
      if (!events_.send(format_.prefix + ".partial_image", format_.partial_image(preview, index_++))) return false;
    }
    return true;
  }

  bool send_completed() { return events_.send(format_.prefix + ".completed", format_.completed()); }

 private:
  bool send_progress(const std::optional<StepProgress>& step) {
    progress_sent_ = true;
    const auto position = job_.position();
    return events_.send(kProgressEvent,
                        without_braces(json_text({{"queue_position", position.ahead},
                                                  {"step", step ? step->steps_done : 0},
                                                  {"steps", step ? step->steps_total : job_.progress().steps_total},
                                                  {"seconds_left", std::round(position.wait_seconds * 1000) / 1000}})));
  }

  Job& job_;
  ProgressFeed& feed_;
  const StreamFormat& format_;
  EventWriter& events_;
  std::int64_t index_ = 0;
  bool progress_sent_ = false;
};

// What the exception that is being handled means to the client.
HttpError current_error() {
  try {
    throw;
  } catch (const HttpFailure& failure) {
    return failure.error();
  } catch (const Error& error) {
    return generation_error(error);
  } catch (const std::exception& error) {
    return unexpected_error(error.what());
  }
}

}  // namespace

void listen(const std::shared_ptr<ProgressFeed>& feed, const StreamOptions& stream, SubmitOptions& options) {
  options.listener = [feed](const ProgressEvent& event) { feed->receive(event); };
  options.preview_count = stream.partial_images;
}

bool wait_for_start(Job& job, const ProgressFeed& feed, Client& client) {
  const auto until = Clock::now() + kMaxWaitForStart;
  while (!feed.stepped() && Clock::now() < until && !job.wait_for(kPollInterval)) {
    if (!client.gone()) continue;
    job.cancel();
    return false;
  }
  return true;
}

StreamEnd stream_job(Job& job, ProgressFeed& feed, const StreamFormat& format, EventWriter& events) {
  Streamer streamer(job, feed, format, events);
  try {
    bool ended = false;
    while (!ended) {
      ended = job.wait_for(kPollInterval);
      if (!streamer.send_news(ended) || (!ended && !events.keep_alive())) return {.client_left = true};
    }
    return {.client_left = !streamer.send_completed()};
  } catch (...) {
    auto error = current_error();
    const bool sent = events.send_error(error);
    return {.client_left = !sent, .error = std::move(error)};
  }
}

}  // namespace easel::http
