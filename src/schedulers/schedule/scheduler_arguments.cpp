#include "schedulers/schedule/scheduler_arguments.h"

#include <cmath>
#include <limits>

#include "core/text.h"

namespace easel {
namespace {

using nlohmann::json;

json init_dict(json config, const json& overrides) {
  if (!config.is_object()) throw Error(ErrorCode::kCorruptData, "scheduler_config.json is not a JSON object");
  const json used_defaults = config.value("_use_default_values", json::array());
  for (const auto& key : used_defaults) {
    if (key.is_string()) config.erase(key.get<std::string>());
  }
  config.update(overrides);
  return config;
}

}  // namespace

SchedulerArguments::SchedulerArguments(const json& scheduler_config, const json& overrides)
    : config_(init_dict(scheduler_config, overrides), "scheduler_config.json") {}

bool SchedulerArguments::flag(const std::string& key, bool fallback) {
  return is_null(key) ? false : config_.get<bool>(key, fallback);
}

std::int64_t SchedulerArguments::integer(const std::string& key, std::int64_t fallback) {
  reject_null(key);
  return config_.get<std::int64_t>(key, fallback);
}

double SchedulerArguments::extended_number(const std::string& key, double fallback) {
  reject_null(key);
  return config_.get<double>(key, fallback);
}

double SchedulerArguments::number(const std::string& key, double fallback) {
  const double value = extended_number(key, fallback);
  if (!std::isfinite(value)) throw corrupt(key, "expected a finite number");
  // Tensors are float32, and their error for a number beyond its range does not name the field.
  if (std::abs(value) > static_cast<double>(std::numeric_limits<float>::max())) {
    throw corrupt(key, "expected a number within the range of float32");
  }
  return value;
}

std::optional<double> SchedulerArguments::optional_number(const std::string& key) {
  if (!config_.has(key)) return std::nullopt;
  return number(key, 0.0);
}

std::optional<std::vector<double>> SchedulerArguments::optional_numbers(const std::string& key) {
  return config_.find<std::vector<double>>(key);
}

std::string SchedulerArguments::name(const std::string& key, const std::string& fallback) {
  reject_null(key);
  return config_.get<std::string>(key, fallback);
}

bool SchedulerArguments::has(const std::string& key) const {
  return config_.object().contains(key) && !is_null(key);
}

bool SchedulerArguments::is_null(const std::string& key) const {
  return config_.object().contains(key) && config_.object().at(key).is_null();
}

bool SchedulerArguments::is(const std::string& key, const std::string& value) const {
  return config_.object().contains(key) && config_.object().at(key) == value;
}

Error SchedulerArguments::unsupported(const std::string& key, const std::string& reason) const {
  return {ErrorCode::kUnsupported, concat(describe(key), "; ", reason)};
}

Error SchedulerArguments::corrupt(const std::string& key, const std::string& reason) const {
  return {ErrorCode::kCorruptData, concat(describe(key), "; ", reason)};
}

void SchedulerArguments::reject_null(const std::string& key) const {
  if (is_null(key)) throw corrupt(key, "diffusers reads it as None, which is not a value for this field");
}

Error SchedulerArguments::unknown_name(const std::string& key, const std::string& found,
                                       const std::vector<std::string>& names) const {
  return {ErrorCode::kUnsupported,
          concat(config_.where(), ": `", key, "` is \"", found, "\"; supported here: ", join(names))};
}

std::string SchedulerArguments::describe(const std::string& key) const {
  const auto& object = config_.object();
  return concat(config_.where(), ": `", key, "` is ",
                object.contains(key) ? object.at(key).dump(-1, ' ', false, json::error_handler_t::replace) : "absent");
}

}  // namespace easel
