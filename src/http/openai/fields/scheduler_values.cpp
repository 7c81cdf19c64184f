// The scheduler of a request, by diffusers' names and by those of A1111's samplers.
#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>

#include "core/normalize_name.h"
#include "core/text.h"
#include "http/openai/fields/field_values.h"
#include "http/wire/fields.h"

namespace easel::http {
namespace {

constexpr std::size_t kMaxSchedulerNameChars = 100;

bool is_known(const ModelDescription& model, const std::string& name) {
  const auto in = [&](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  return in(model.schedulers) || in(model.scheduler_aliases);
}

// The field as normalize_name() writes it; none where it is absent.
std::optional<std::string> find_name(const Fields& fields, const char* field) {
  const auto written = fields.text(field, kMaxSchedulerNameChars);
  return written ? std::optional(normalize_name(*written)) : std::nullopt;
}

HttpFailure unknown_name(const Fields& fields, const char* field, const ModelDescription& model) {
  return field_error(field, "invalid_value",
                     concat("`", field, "` is ", quote(fields.string(field).value_or("")),
                            "; expected one of: ", join(model.schedulers), "."));
}

// As A1111 has it: the sampler, and in `scheduler` how its sigmas are spaced.
std::string with_spacing(const std::string& sampler, const char* sampler_field, const Fields& fields,
                         const ModelDescription& model) {
  const auto scheduler = find_name(fields, "scheduler");
  if (!scheduler || *scheduler == sampler || *scheduler == "automatic") return sampler;
  auto combined = sampler + "_" + *scheduler;
  if (is_known(model, combined)) return combined;
  // The name of the sampler may have the spacing already.
  if (sampler.ends_with("_" + *scheduler)) return sampler;
  if (is_known(model, *scheduler)) throw names_with_different_values(sampler_field, "scheduler");
  throw unknown_name(fields, "scheduler", model);
}

}  // namespace

void read_scheduler(const Fields& fields, FieldContext& context, ImageRequest& request) {
  const auto& model = *context.model;
  const auto sampler_name = find_name(fields, "sampler_name"), sampler = find_name(fields, "sampler");
  if (sampler_name && sampler && *sampler_name != *sampler) {
    throw names_with_different_values("sampler_name", "sampler");
  }
  if (const auto& name = sampler_name ? sampler_name : sampler) {
    const char* const field = sampler_name ? "sampler_name" : "sampler";
    if (!is_known(model, *name)) throw unknown_name(fields, field, model);
    request.scheduler = with_spacing(*name, field, fields, model);
  } else if (const auto scheduler = find_name(fields, "scheduler")) {
    if (!is_known(model, *scheduler)) throw unknown_name(fields, "scheduler", model);
    request.scheduler = *scheduler;
  }
}

}  // namespace easel::http
