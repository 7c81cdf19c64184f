// Image requests that are answered with a stream of events.
#include <chrono>
#include <cstdint>
#include <utility>

#include "core/text.h"
#include "easel/image.h"
#include "http/openai/delivery.h"
#include "http/openai/fields/model_choice.h"
#include "http/openai/streaming/image_stream.h"
#include "http/wire/unix_time.h"

namespace easel::http {
namespace {

// What a streamed response keeps until it has ended.
struct OpenStream {
  OpenStream(StreamSource its_source, std::shared_ptr<RequestPermit> its_permit)
      : source(std::move(its_source)), permit(std::move(its_permit)) {}
  ~OpenStream() { source.job->cancel(); }  // the client has left, or the job has ended and this does nothing
  OpenStream(const OpenStream&) = delete;
  OpenStream& operator=(const OpenStream&) = delete;

  const StreamSource source;
  const std::shared_ptr<RequestPermit> permit;
  std::optional<ImageResult> result;  // of a job that ended before the response began
};

struct PixelSize {
  int width = 0;
  int height = 0;
};

StreamFormat stream_format(const PreparedRequest& prepared, PixelSize size, std::shared_ptr<OpenStream> open) {
  return {.prefix = prepared.task == ImageTask::kGenerate ? "image_generation" : "image_edit",
          .with_progress = prepared.request.stream.progress.value_or(false),
          .partial_image =
              [size, options = prepared.context.options](const Image& preview, std::int64_t index) {
                return concat(R"("partial_image_index":)", index, ',',
                              partial_image_members(resize(preview, size.width, size.height), unix_seconds(), options));
              },
          .completed =
              [open = std::move(open)] {
                return completed_image_members(open->result ? *open->result : open->source.result());
              }};
}

PixelSize response_size(const ImageRequest& request, const Engine& engine) {
  const auto models = engine.models();
  const auto& model = resolve_model(models, request.model, /*options=*/{});
  const auto [width, height] = output_size(request, model);
  return {width, height};
}

}  // namespace

StreamSource submit_stream(Engine& engine, PreparedRequest& prepared) {
  auto feed = std::make_shared<ProgressFeed>();
  listen(feed, prepared.request.stream, prepared.options);
  auto job = submit(engine, prepared.request, prepared.options);
  return {.job = job, .feed = std::move(feed), .result = [job, context = prepared.context] {
            return take_result(*job, context);
          }};
}

std::optional<Response> deliver_stream(const Engine& engine, PreparedRequest prepared, StreamSource source,
                                       Client& client, RequestRecord& record) {
  const auto open = std::make_shared<OpenStream>(std::move(source), std::move(prepared.permit));
  const auto format = stream_format(prepared, response_size(prepared.request, engine), open);
  auto& job = *open->source.job;
  const auto position = job.position();
  const bool connected = wait_for_start(job, *open->source.feed, client);
  const auto log_fields = record.log_fields;
  append_log_fields(job.stats(), record.log_fields);
  if (!connected) return std::nullopt;
  // A failure before the response has begun is answered with its own status.
  if (job.wait_for(std::chrono::milliseconds(0))) open->result = open->source.result();
  auto response = event_stream_response([open, format, log_fields, &record](BodyWriter& body) {
    EventWriter events(body);
    const auto end = stream_job(*open->source.job, *open->source.feed, format, events);
    if (end.client_left) open->source.job->cancel();
    record.log_fields = log_fields;
    append_log_fields(open->source.job->stats(), record.log_fields);
    record.client_left = end.client_left;
    record.stream_error = end.error;
  });
  add_queue_headers(position, response);
  return response;
}

}  // namespace easel::http
