#include "http/openai/job_endpoints.h"

#include <string_view>

#include "http/openai/jobs/job_json.h"
#include "http/openai/link_base.h"
#include "http/openai/request_record.h"
#include "http/wire/http_error.h"

namespace easel::http {
namespace {

bool asks_for_preview(std::string_view query) {
  while (!query.empty()) {
    const auto end = query.find('&');
    if (query.substr(0, end) == "preview=1") return true;
    if (end == std::string_view::npos) break;
    query.remove_prefix(end + 1);
  }
  return false;
}

}  // namespace

std::shared_ptr<KeptRequest> JobEndpoints::find(const std::string& id, const Principal& principal) const {
  // Without keys an account is an address, which changes, and the id cannot be guessed.
  const bool has_keys = !options_.api_keys.empty() || !options_.api_keys_file.empty();
  auto job = kept_.find(id, has_keys ? &principal.account : nullptr);
  if (job) return job;
  throw HttpFailure({.status = 404,
                     .message = "There is no such job, or no longer: jobs are kept for an hour after their end.",
                     .code = "job_not_found"});
}

Response JobEndpoints::get(const RequestHead& head, const std::string& id, const RequestRecord& record) const {
  const auto job = find(id, record.principal);
  return json_response(200, job_json(*job, asks_for_preview(head.query), store_, link_base(options_, record.source)));
}

Response JobEndpoints::cancel(const std::string& id, const RequestRecord& record) const {
  const auto job = find(id, record.principal);
  job->cancel();
  return json_response(200, job_json(*job, /*with_preview=*/false, store_, link_base(options_, record.source)));
}

}  // namespace easel::http
