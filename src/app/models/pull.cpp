// easel pull and easel rm: bring models from a hub, and remove them.
#include "hub/pull.h"

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "app/command_line/commands.h"
#include "app/command_line/format.h"
#include "app/models/hub_options.h"
#include "app/models/models_dir.h"
#include "app/models/pull_display.h"
#include "easel/error.h"
#include "hub/reference.h"

namespace easel {
namespace {

std::string target_folder(const Options& options) {
  const auto& pull = options.pull;
  if (pull.is_lora && options.model.lora_dir.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "--lora needs --lora-dir, the folder that LoRA files are served from");
  }
  if (pull.is_embedding && options.model.embeddings_dir.empty()) {
    throw Error(ErrorCode::kInvalidArgument,
                "--embedding needs --embeddings-dir, the folder that textual inversions are served from");
  }
  if (pull.is_lora) return options.model.lora_dir;
  if (pull.is_embedding) return options.model.embeddings_dir;
  const auto folder = models_dir(options.model.models_dir);
  if (folder.empty())
    throw Error(ErrorCode::kInvalidArgument, "there is no folder for models; give --models-dir FOLDER");
  return folder;
}

/// The total first, then a line for each file.
void print_plan(const std::vector<hub::PlannedFile>& files) {
  std::uint64_t total = 0;
  for (const auto& file : files) total += file.bytes;
  std::printf("%llu bytes in %zu files\n", static_cast<unsigned long long>(total), files.size());
  for (const auto& file : files) {
    std::printf("%12llu  %s\n", static_cast<unsigned long long>(file.bytes), file.name.c_str());
  }
}

}  // namespace

int pull(const Options& options) {
  auto pull_options = make_pull_options(options, target_folder(options));
  if (options.pull.dry_run) {
    print_plan(hub::planned_files(options.pull.name, pull_options));
    return 0;
  }
  hub::PulledModel model;
  {
    PullDisplay display(hub::without_secrets(options.pull.name));
    pull_options.on_progress = [&](const hub::PullProgress& progress) { display.update(progress); };
    model = hub::pull(options.pull.name, pull_options);
  }
  std::printf("%s%s (%s, licence: %s)\n", model.path.c_str(), model.was_there ? " is complete already" : "",
              format_bytes(static_cast<std::int64_t>(model.bytes)).c_str(),
              model.licence.empty() ? "not stated" : model.licence.c_str());
  if (model.has_pickles) {
    std::printf("its weights are pickles, which easel does not load: run `easel convert %s`\n", model.path.c_str());
  }
  return 0;
}

int remove_model(const Options& options) {
  const auto removed = hub::remove_pulled(target_folder(options), options.pull.name);
  std::printf("%s is removed\n", removed.c_str());
  return 0;
}

}  // namespace easel
