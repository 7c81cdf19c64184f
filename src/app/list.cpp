// easel models: what would be served, and what it needs.
#include <cstdio>

#include "app/commands.h"
#include "app/model_list.h"
#include "core/text.h"
#include "pipelines/adapter_directory.h"

namespace easel {
namespace {

std::string with_unit(double value, double base, const char* const (&units)[4]) {
  int unit = 0;
  while (value >= base && unit < 3) {
    value /= base;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, value < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", value, units[unit]);
  return text;
}

std::string bytes_text(std::int64_t bytes) {
  return with_unit(static_cast<double>(bytes), 1024.0, {"B", "KiB", "MiB", "GiB"});
}

std::string count_text(std::int64_t count) {
  return with_unit(static_cast<double>(count), 1000.0, {"", "thousand", "million", "billion"});
}

void print(const ModelDescription& m, bool is_default) {
  std::printf("%s%s\n", m.id.c_str(), is_default ? " (default)" : "");
  std::printf("  folder      %s\n", m.folder.c_str());
  std::printf("  family      %s, %s parameters\n", m.family.c_str(), count_text(m.parameters).c_str());
  std::printf("  licence     %s\n", m.licence.empty() ? "not stated in its folder" : m.licence.c_str());
  std::printf("  size        %s on disk, about %s of memory for one picture\n", bytes_text(m.weight_bytes).c_str(),
              bytes_text(m.memory_bytes).c_str());
  std::printf("  draws       %dx%d%s, %lld steps, guidance %g, scheduler %s\n", m.native_width, m.native_height,
              m.draws_native_size_only ? " (other sizes are resized)" : "", static_cast<long long>(m.default_steps),
              m.default_guidance_scale, m.default_scheduler.c_str());
  std::printf("  schedulers  %s\n", join(m.schedulers).c_str());
}

}  // namespace

int list(const Options& options) {
  const auto models = list_models(options.model);
  for (std::size_t i = 0; i < models.size(); ++i) print(models[i].description, i == 0);
  if (!options.model.lora_dir.empty()) {
    std::printf("adapters in %s\n  %s\n", options.model.lora_dir.c_str(),
                join(AdapterDirectory(options.model.lora_dir).names()).c_str());
  }
  return 0;
}

}  // namespace easel
