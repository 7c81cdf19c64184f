// One image request as a stream of events: partial images, progress, the finished image or an error.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "easel/engine.h"
#include "http/openai/streaming/event_writer.h"
#include "http/openai/streaming/progress_feed.h"
#include "http/openai/streaming/stream_options.h"
#include "http/transport/client.h"

namespace easel::http {

/// How the events of one request are named and filled. The functions that return texts return the members of an event's
/// JSON object after its `type`: see EventWriter::send.
struct StreamFormat {
  std::string prefix;          ///< of the types of OpenAI's events: "image_generation" or "image_edit"
  bool with_progress = false;  ///< progress events, too
  /// @param preview  as the engine gave it; @param index  of the partial image, from 0
  std::function<std::string(const Image& preview, std::int64_t index)> partial_image;
  /// Called once the job has ended. @throws HttpFailure, Error  it failed
  std::function<std::string()> completed;
};

/// How a stream ended, for the log and the metrics.
struct StreamEnd {
  bool client_left = false;
  std::optional<HttpError> error = {};  ///< what the event `error` said
};

/// Waits until the response can begin: the request has done a step, or it has ended, or a second has passed. A request
/// that fails before its first step, e.g. because it names an unknown adapter, can then have a status of its own.
/// @return false when the client left; the job is then cancelled
bool wait_for_start(Job& job, const ProgressFeed& feed, Client& client);

/// Makes `options` ask for what a stream needs.
void listen(const std::shared_ptr<ProgressFeed>& feed, const StreamOptions& stream, SubmitOptions& options);

/// Writes the events of a job until it has ended or the client has left. It does not cancel the job.
StreamEnd stream_job(Job& job, ProgressFeed& feed, const StreamFormat& format, EventWriter& events);

}  // namespace easel::http
