// GET and DELETE /v1/images/jobs/{id}: requests that were answered with `Prefer: respond-async`.
#pragma once

#include <memory>
#include <string>

#include "easel/server.h"
#include "http/access/principal.h"
#include "http/openai/jobs/kept_requests.h"
#include "http/openai/responses/image_store.h"
#include "http/transport/message.h"
#include "http/transport/request_head.h"

namespace easel::http {

struct RequestRecord;  // http/openai/request_record.h

/// Thread-safe. What it is made of must outlive it.
class JobEndpoints {
 public:
  JobEndpoints(const ServerOptions& options, KeptRequests& kept, ImageStore& store)
      : options_(options), kept_(kept), store_(store) {}

  /// The state of a job, and its result once it is completed. `?preview=1` adds a rough image of the running job.
  /// @throws HttpFailure(404)  there is no such job, or no longer, or it is another account's
  Response get(const RequestHead& head, const std::string& id, const RequestRecord& record) const;
  /// Ends a job that is queued or running; does nothing to a job that has ended. @throws as get()
  Response cancel(const std::string& id, const RequestRecord& record) const;

 private:
  std::shared_ptr<KeptRequest> find(const std::string& id, const Principal& principal) const;

  const ServerOptions& options_;
  KeptRequests& kept_;
  ImageStore& store_;
};

}  // namespace easel::http
