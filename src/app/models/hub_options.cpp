#include "app/models/hub_options.h"

#include <c10/core/ScalarType.h>

#include <chrono>
#include <cstdlib>

#include "app/models/model_list.h"
#include "hub/reference.h"
#include "pipelines/registry.h"
#include "tensor/placement.h"

namespace easel {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// Without white space around it, such as the end of a line of the file that it came from.
std::string token(const char* name) {
  const auto text = environment(name);
  constexpr const char* kSpace = " \t\r\n";
  const auto begin = text.find_first_not_of(kSpace);
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

hub::Endpoint make_endpoint() {
  hub::Endpoint endpoint;
  auto url = environment("HF_ENDPOINT");
  while (url.ends_with('/')) url.pop_back();
  if (!url.empty()) endpoint.url = url;
  endpoint.token = token("HF_TOKEN");
  return endpoint;
}

std::string half_variant(c10::ScalarType dtype) {
  if (dtype == c10::kBFloat16) return "bf16";
  return dtype == c10::kHalf ? "fp16" : "";
}

}  // namespace

hub::PullOptions make_pull_options(const Options& options, const std::string& folder) {
  const auto placement = make_placement(list_devices(options.model).front(), options.model.dtype);
  hub::PullOptions pull_options{.folder = folder,
                                .endpoint = make_endpoint(),
                                .civitai_token = token("CIVITAI_TOKEN"),
                                .half_variant = half_variant(placement.dtype),
                                .sha256 = hub::lower_case(options.pull.sha256),
                                .check_class = &check_pipeline_class};
  pull_options.policy.first_pause =
      std::chrono::milliseconds(static_cast<std::int64_t>(options.pull.retry_pause * 1000));
  pull_options.policy.slow_time = std::chrono::seconds(options.pull.slow_seconds);
  return pull_options;
}

}  // namespace easel
