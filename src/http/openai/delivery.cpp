#include "http/openai/delivery.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <utility>

#include "core/text.h"
#include "http/openai/fields/model_choice.h"
#include "http/openai/jobs/hires_chain.h"
#include "http/wire/unix_time.h"
#include "provenance/image_record.h"

namespace easel::http {
namespace {

// In whole seconds, as the header requires: from one second, so that clients do not retry at once, to the longest time
// that SDKs accept.
std::string retry_after(double seconds) {
  constexpr double kLongest = 60;
  return std::to_string(std::llround(std::min(std::max(1.0, std::ceil(seconds)), kLongest)));
}

}  // namespace

HttpFailure rejection(Engine& engine, const SubmitOptions& options, const Error& error) {
  if (error.code() != ErrorCode::kResourceExhausted) {
    auto result = http_error(error);
    // As for a name that was never served: see model_for.
    if (error.code() == ErrorCode::kNotFound) result.status = 400;
    return HttpFailure(std::move(result));
  }
  // The time in the header is limited, so the estimate stands in the message as well.
  const auto advice = engine.advise_retry(options);
  auto result = http_error(error, retry_after(advice.retry_after));
  result.message +=
      concat(" (a place is expected to be free in ", std::max(1.0, std::ceil(advice.estimated_wait)), " s)");
  result.headers.add("x-easel-estimated-wait", concat(rounded_to_ms(advice.estimated_wait)));
  return HttpFailure(std::move(result));
}

std::shared_ptr<Job> submit(Engine& engine, GenerationRequest request, const SubmitOptions& options) {
  const bool in_parts = request.hires && !request.hires->upscaler_model.empty();
  try {
    if (in_parts) return submit_hires_chain(engine, std::move(request), options);
    return engine.submit(std::move(request), options);
  } catch (const Error& error) {
    throw rejection(engine, options, error);
  }
}

ResultContext result_context(const ImageRequest& request, const std::vector<ModelDescription>& models,
                             const ServerOptions& options) {
  const auto& model = resolve_model(models, request.model, options);
  ResultContext context{.options = request.response, .seed = request.seed, .cell = model.cell};
  const auto add = [&](const std::shared_ptr<const Image>& image) {
    if (image) context.input_image_tokens += image_tokens(image->width, image->height, model.cell);
  };
  add(request.image);
  std::for_each(request.more_images.begin(), request.more_images.end(), add);
  for (const auto& served : models) context.model_folders.push_back(served.folder);
  auto metadata = options.metadata;
  metadata.embed = metadata.embed && request.response.embed_metadata;
  if (metadata.embed || metadata.mark) {
    const bool in_parts = request.hires && !request.hires->upscaler_model.empty();
    const auto* upscaler = in_parts ? &resolve_model(models, request.hires->upscaler_model, options) : nullptr;
    context.metadata = metadata_of_request(request, model, metadata, upscaler);
  }
  return context;
}

Wait wait_while_connected(Job& job, Client& client, std::chrono::milliseconds limit) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    const bool is_limited = limit.count() > 0;
    if (is_limited && left.count() <= 0) return Wait::kTooLong;
    if (job.wait_for(is_limited ? std::min(left, kDisconnectPollInterval) : kDisconnectPollInterval)) {
      return Wait::kEnded;
    }
    if (!client.gone()) continue;
    job.cancel();
    return Wait::kClientLeft;
  }
}

ImageResult take_result(Job& job, const ResultContext& context) {
  try {
    return make_result(job.take(), unix_seconds(), context);
  } catch (const Error& error) {
    throw HttpFailure(result_error(error, context));
  }
}

double rounded_to_ms(double seconds) {
  return std::round(seconds * 1000) / 1000;
}

void append_log_fields(const JobStats& stats, log::Fields& fields) {
  fields.emplace_back("waited", rounded_to_ms(stats.queued_seconds));
  fields.emplace_back("drawn", rounded_to_ms(stats.run_seconds));
  fields.emplace_back("device_seconds", rounded_to_ms(stats.device_seconds));
  fields.emplace_back("rows", stats.max_rows);
  if (!stats.device.empty()) fields.emplace_back("device", stats.device);
}

void add_queue_headers(const QueuePosition& position, Response& response) {
  response.headers.add("x-easel-queue-position", std::to_string(position.ahead));
  response.headers.add("x-easel-estimated-wait", concat(rounded_to_ms(position.wait_seconds)));
}

}  // namespace easel::http
