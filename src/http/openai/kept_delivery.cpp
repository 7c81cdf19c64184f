// Image requests that outlive their connection: jobs, and requests with an idempotency key.
#include <chrono>
#include <string_view>
#include <utility>

#include "core/text.h"
#include "http/openai/delivery.h"
#include "http/openai/jobs/job_json.h"
#include "http/openai/streaming/image_stream.h"
#include "http/openai/streaming/late_response.h"

namespace easel::http {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxKeyBytes = 255;
constexpr std::int64_t kJobPreviews = 8;  // of each image

bool prefers_async(const Headers& headers) {
  for (const auto& field : headers) {
    if (!equal_ignoring_case(field.name, "Prefer")) continue;
    for (const auto preference : list_elements(field.value)) {
      if (equal_ignoring_case(trimmed(preference.substr(0, preference.find(';'))), "respond-async")) return true;
    }
  }
  return false;
}

// A kept request as a stream sees it: a client that leaves a stream does not end it for the others.
class SharedJob final : public Job {
 public:
  explicit SharedJob(std::shared_ptr<KeptRequest> request) : request_(std::move(request)), waiter_(request_) {}

  bool wait_for(milliseconds timeout) override { return request_->wait_for(timeout); }
  std::vector<GeneratedImage> take() override {
    throw Error(ErrorCode::kInternal, "the images of a kept request are in its result");
  }
  void cancel() override {}
  StepProgress progress() const override { return request_->progress(); }
  QueuePosition position() const override { return request_->position(); }
  JobStats stats() const override { return request_->stats(); }

 private:
  const std::shared_ptr<KeptRequest> request_;
  const KeptRequest::Waiter waiter_;
};

ImageResult result_of(const KeptRequest& request) {
  if (const auto error = request.error()) throw HttpFailure(*error);
  if (auto result = request.load()) return std::move(*result);
  throw HttpFailure(http_error(Error(ErrorCode::kUnavailable, "The images of this request are no longer kept.")));
}

// Submits the request so that its progress is seen: by the stream that waits for it, or by clients that look at the
// job.
AcceptedRequest accept(Engine& engine, PreparedRequest& prepared) {
  auto feed = std::make_shared<ProgressFeed>();
  listen(feed, prepared.request.stream, prepared.options);
  if (!prepared.request.stream.enabled) prepared.options.preview_count = kJobPreviews;
  return {
      .job = submit(engine, prepared.request, prepared.options), .feed = std::move(feed), .context = prepared.context};
}

Response job_response(const KeptRequest& job, ImageStore& store, const std::string& link_base) {
  auto response = json_response(202, job_json(job, /*with_preview=*/false, store, link_base));
  response.headers.add("Location", job_path(job));
  response.headers.add("Preference-Applied", "respond-async");
  return response;
}

// The result of a kept request, or early headers and a late body.
std::optional<Response> answer_with_result(const std::shared_ptr<KeptRequest>& request, ImageStore& store,
                                           const std::string& link_base, milliseconds early, Client& client,
                                           RequestRecord& record) {
  const auto job = std::make_shared<SharedJob>(request);
  const auto wait = wait_while_connected(*job, client, early);
  if (wait == Wait::kClientLeft) return std::nullopt;
  const auto log_fields = record.log_fields;
  append_log_fields(request->stats(), record.log_fields);
  const auto body_of = [request, &store, link_base] {
    return image_response_body(result_of(*request), store, link_base);
  };
  if (wait == Wait::kEnded) return json_response(200, body_of());
  auto response = json_response(200, "");
  response.close = true;  // as in deliver_plain()
  response.stream = [job, body_of, log_fields, &record](BodyWriter& body) {
    const auto end = write_late_body(*job, body_of, body);
    record.log_fields = log_fields;
    append_log_fields(job->stats(), record.log_fields);
    record.client_left = end.client_left;
    record.stream_error = end.error;
  };
  return response;
}

}  // namespace

Keeping read_keeping(const Headers& headers) {
  Keeping keeping{.as_job = prefers_async(headers)};
  const auto* key = headers.find("Idempotency-Key");
  if (!key) return keeping;
  keeping.key = std::string(trimmed(*key));
  if (keeping.key->empty() || keeping.key->size() > kMaxKeyBytes) {
    throw HttpFailure({.status = 400,
                       .message = concat("The Idempotency-Key must have 1 to ", kMaxKeyBytes, " bytes."),
                       .code = "invalid_value"});
  }
  return keeping;
}

std::optional<Response> deliver_kept(Engine& engine, KeptRequests& kept, ImageStore& store, PreparedRequest prepared,
                                     const std::string& link_base, std::chrono::milliseconds early, Client& client,
                                     RequestRecord& record) {
  const auto keeping = prepared.keeping;
  const bool as_job = keeping.as_job && !prepared.request.stream.enabled;
  const auto submit_it = [&] { return accept(engine, prepared); };
  const auto& account = record.principal.account;
  const auto keyed = keeping.key ? kept.add_or_join(account, *keeping.key, keeping.fingerprint, as_job, submit_it)
                                 : KeptRequests::Keyed{.request = kept.add(account, as_job, submit_it)};
  const auto& request = keyed.request;
  std::optional<Response> response;
  if (as_job) {
    response = job_response(*request, store, link_base);
  } else if (prepared.request.stream.enabled) {
    auto feed = keyed.replayed ? nullptr : request->feed();
    if (!feed) feed = std::make_shared<ProgressFeed>();
    response = deliver_stream(engine, std::move(prepared),
                              {.job = std::make_shared<SharedJob>(request),
                               .feed = std::move(feed),
                               .result = [request] { return result_of(*request); }},
                              client, record);
  } else {
    response = answer_with_result(request, store, link_base, early, client, record);
  }
  if (response && keyed.replayed) response->headers.add("idempotent-replayed", "true");
  return response;
}

}  // namespace easel::http
