// Image requests that are answered with one JSON object.
#include <utility>

#include "core/text.h"
#include "http/openai/delivery.h"
#include "http/openai/streaming/late_response.h"

namespace easel::http {
namespace {

// What a response keeps until it is written.
struct OpenResponse {
  OpenResponse(std::shared_ptr<Job> its_job, std::shared_ptr<RequestPermit> its_permit)
      : job(std::move(its_job)), permit(std::move(its_permit)) {}
  ~OpenResponse() { job->cancel(); }  // does nothing once it has ended
  OpenResponse(const OpenResponse&) = delete;
  OpenResponse& operator=(const OpenResponse&) = delete;

  const std::shared_ptr<Job> job;
  const std::shared_ptr<RequestPermit> permit;
};

}  // namespace

std::optional<Response> deliver_plain(Engine& engine, ImageStore& store, PreparedRequest prepared,
                                      const std::string& link_base, std::chrono::milliseconds early, Client& client,
                                      RequestRecord& record) {
  const auto job = submit(engine, std::move(prepared.request), prepared.options);
  const auto open = std::make_shared<OpenResponse>(job, std::move(prepared.permit));
  const auto position = job->position();
  const auto wait = wait_while_connected(*job, client, early);
  const auto body_of = [&store, job, context = std::move(prepared.context), link_base] {
    return image_response_body(take_result(*job, context), store, link_base);
  };
  const auto log_fields = record.log_fields;
  append_log_fields(job->stats(), record.log_fields);
  if (wait == Wait::kClientLeft) return std::nullopt;
  auto response = json_response(200, wait == Wait::kEnded ? body_of() : "");
  add_queue_headers(position, response);
  if (wait == Wait::kEnded) {
    response.headers.add("x-easel-waited", concat(rounded_to_ms(job->stats().queued_seconds)));
    return response;
  }
  response.close = true;  // a failure is then at the end of the connection, where no client looks for another response
  response.stream = [open, body_of, log_fields, &record](BodyWriter& body) {
    const auto end = write_late_body(*open->job, body_of, body);
    record.log_fields = log_fields;
    append_log_fields(open->job->stats(), record.log_fields);
    record.client_left = end.client_left;
    record.stream_error = end.error;
  };
  return response;
}

}  // namespace easel::http
