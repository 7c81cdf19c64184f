// easel models: lists the models that would be served and what they need.
#include <time.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "adapters/adapter_directory.h"
#include "app/command_line/commands.h"
#include "app/command_line/format.h"
#include "app/models/last_use.h"
#include "app/models/model_list.h"
#include "app/models/recipe_list.h"
#include "core/text.h"
#include "http/openai/openai_models.h"

namespace easel {
namespace {

/// E.g. "1.7 GiB float16 + 10 MiB float32".
std::string format_by_dtype(const std::map<std::string, std::int64_t>& bytes) {
  std::vector<std::string> parts;
  for (const auto& [dtype, count] : bytes) parts.push_back(format_bytes(count) + " " + dtype);
  return join(parts, " + ");
}

void print_memory(const ModelDescription& m) {
  for (const auto& part : m.components) {
    const auto stored = format_by_dtype(part.stored_bytes), held = format_by_dtype(part.memory_bytes);
    std::printf("  weights     %s: %s%s\n", part.name.c_str(), held.c_str(),
                stored == held ? "" : (", stored as " + stored).c_str());
  }
  for (const auto& at_size : m.activations) {
    std::vector<std::string> steps;
    for (const auto& [rows, bytes] : at_size.step_bytes) {
      steps.push_back(concat(format_bytes(bytes), " for ", rows, rows == 1 ? " row" : " rows"));
    }
    std::printf("  at %-9s a step takes %s; a decode %s\n", concat(at_size.width, "x", at_size.height).c_str(),
                join(steps).c_str(), format_bytes(at_size.decode_bytes).c_str());
  }
}

std::string describe_last_use(const ModelDescription& m) {
  const auto used = last_use(m.folder);
  if (!used) return "no use is recorded";
  const auto seconds = std::chrono::system_clock::to_time_t(*used);
  std::tm local{};
  char text[32];
  localtime_r(&seconds, &local);
  return std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local) > 0 ? text : "";
}

void print(const ModelDescription& m, bool is_default) {
  std::printf("%s%s\n", m.id.c_str(), is_default ? " (default)" : "");
  std::printf("  folder      %s\n", m.folder.c_str());
  std::printf("  family      %s, %s parameters\n", m.family.c_str(), format_count(m.parameters).c_str());
  std::printf("  licence     %s\n", m.licence.empty() ? "not stated in its folder" : m.licence.c_str());
  std::printf("  size        %s on disk, about %s of memory for one image\n", format_bytes(m.weight_bytes).c_str(),
              format_bytes(m.memory_bytes).c_str());
  std::printf("  last used   %s\n", describe_last_use(m).c_str());
  print_memory(m);
  std::printf("  dtype       %s\n", m.dtype.c_str());
  std::printf("  modes       %s%s\n", join(http::modes_of(m)).c_str(),
              m.upscale_factor > 0 ? concat(", ", m.upscale_factor, " times").c_str() : "");
  std::printf("  draws       %dx%d%s, %lld steps, guidance %g, scheduler %s\n", m.native_width, m.native_height,
              m.native_size_only ? " (other sizes are resized)" : "", static_cast<long long>(m.default_steps),
              m.default_guidance_scale, m.default_scheduler.c_str());
  std::printf("  predicts    %s, as %s says\n", m.prediction_type.c_str(), m.prediction_source.c_str());
  std::printf("  schedulers  %s\n", join(m.schedulers).c_str());
}

}  // namespace

int list(const Options& options) {
  if (options.list_available) {
    print_recipes(options.model);
    return 0;
  }
  std::vector<PassedOver> passed_over;
  const auto models = list_models(options.model, &passed_over);
  for (std::size_t i = 0; i < models.size(); ++i) print(models[i].description, i == 0);
  if (options.model.list_all && !passed_over.empty()) {
    std::printf("passed over\n");
    for (const auto& [path, reason] : passed_over) std::printf("  %s: %s\n", path.c_str(), reason.c_str());
  }
  if (!options.model.lora_dir.empty()) {
    std::printf("adapters in %s\n  %s\n", options.model.lora_dir.c_str(),
                join(AdapterDirectory(options.model.lora_dir).names()).c_str());
  }
  return 0;
}

}  // namespace easel
