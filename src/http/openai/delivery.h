// What all ways of answering an image request share: submitting it, its log fields, its headers and its result.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/log.h"
#include "easel/engine.h"
#include "http/openai/fields/request_fields.h"
#include "http/openai/jobs/kept_requests.h"
#include "http/openai/request_record.h"
#include "http/openai/responses/image_result.h"
#include "http/openai/responses/image_store.h"
#include "http/openai/streaming/progress_feed.h"
#include "http/transport/client.h"
#include "http/transport/message.h"
#include "http/wire/http_error.h"

namespace easel::http {

/// How often to check whether the client has left. The end of a job ends the wait at once.
inline constexpr std::chrono::milliseconds kDisconnectPollInterval{100};

/// Counts a request as in flight, up to a limit: image requests must never occupy every thread.
class RequestPermit {
 public:
  RequestPermit(std::atomic<std::size_t>& taken, std::size_t limit)
      : taken_(taken), acquired_(taken_.fetch_add(1) < limit) {}
  ~RequestPermit() { taken_.fetch_sub(1); }
  RequestPermit(const RequestPermit&) = delete;
  RequestPermit& operator=(const RequestPermit&) = delete;

  bool acquired() const { return acquired_; }

 private:
  std::atomic<std::size_t>& taken_;
  const bool acquired_;
};

/// Whether a request outlives its connection.
struct Keeping {
  bool as_job = false;                  ///< answer at once: `Prefer: respond-async`
  std::optional<std::string> key = {};  ///< the header Idempotency-Key
  std::string fingerprint = {};         ///< of the request, if it has a key: see request_fingerprint()

  bool wanted() const { return as_job || key; }
};

/// A request that was read and checked, and that may be submitted now.
struct PreparedRequest {
  ImageTask task = ImageTask::kGenerate;
  ImageRequest request = {};
  ResultContext context = {};
  SubmitOptions options = {};
  Keeping keeping = {};
  std::shared_ptr<RequestPermit> permit = {};  ///< to be held while a thread works for the request
};

/// The error for what Engine::submit threw. A 429 says when to come back.
/// @param options  those of the request that was not accepted
HttpFailure rejection(Engine& engine, const SubmitOptions& options, const Error& error);

/// @throws HttpFailure  the engine did not accept it
std::shared_ptr<Job> submit(Engine& engine, GenerationRequest request, const SubmitOptions& options);

/// What the result of a request says besides its images.
/// @param models  that are served; the request's own is one of them
ResultContext result_context(const ImageRequest& request, const std::vector<ModelDescription>& models,
                             const ServerOptions& options);

enum class Wait { kEnded, kClientLeft, kTooLong };

/// Waits for the end of a job. A client that leaves before it cancels the job.
/// @param limit  the longest wait; 0: no limit
Wait wait_while_connected(Job& job, Client& client, std::chrono::milliseconds limit = std::chrono::milliseconds(0));

/// The result of a job that has ended. @throws HttpFailure  it failed
ImageResult take_result(Job& job, const ResultContext& context);

void append_log_fields(const JobStats& stats, log::Fields& fields);

/// Where in the queue the request was when it was accepted.
void add_queue_headers(const QueuePosition& position, Response& response);

/// Seconds as headers have them, with three decimals at most.
double rounded_to_ms(double seconds);

/// Answers when the images are finished, or with early headers and a late body.
/// @param link_base  as image_response_body() takes it
/// @param early      as ServerOptions::early_headers_after
/// @return none when the client has left
/// @throws HttpFailure  the request was not accepted, or failed
std::optional<Response> deliver_plain(Engine& engine, ImageStore& store, PreparedRequest prepared,
                                      const std::string& link_base, std::chrono::milliseconds early, Client& client,
                                      RequestRecord& record);

/// A request that was submitted, and what a stream of events tells about it.
struct StreamSource {
  std::shared_ptr<Job> job;  ///< cancelled when the client leaves
  std::shared_ptr<ProgressFeed> feed;
  std::function<ImageResult()> result;  ///< called once, when the job has ended. @throws HttpFailure  it failed
};

/// Submits a request for a stream. @throws HttpFailure  the engine did not accept it
StreamSource submit_stream(Engine& engine, PreparedRequest& prepared);

/// Answers with a stream of events: see docs/guide/streaming.md.
/// @param record  receives the log fields; valid until the stream has ended
/// @return none when the client has left
/// @throws HttpFailure  the request failed before its first step
std::optional<Response> deliver_stream(const Engine& engine, PreparedRequest prepared, StreamSource source,
                                       Client& client, RequestRecord& record);

/// What the headers of a request say. @throws HttpFailure(400)  the key is empty or longer than 255 bytes
Keeping read_keeping(const Headers& headers);

/// Answers with a job, or with the result of a request that has an idempotency key.
/// @param link_base  as image_response_body() takes it
/// @param early      as ServerOptions::early_headers_after
/// @return none when the client has left
/// @throws HttpFailure  the request was not accepted, or failed; 400: its key belongs to another request
std::optional<Response> deliver_kept(Engine& engine, KeptRequests& kept, ImageStore& store, PreparedRequest prepared,
                                     const std::string& link_base, std::chrono::milliseconds early, Client& client,
                                     RequestRecord& record);

}  // namespace easel::http
