// easel pull and easel rm: bring models from a hub, and remove them.
#include "hub/pull.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "app/command_line/commands.h"
#include "app/command_line/format.h"
#include "app/models/hub_options.h"
#include "app/models/models_dir.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

using Clock = std::chrono::steady_clock;

/// A line that is redrawn on a terminal; elsewhere a line every few seconds.
class PullDisplay {
 public:
  explicit PullDisplay(std::string name) : name_(std::move(name)), is_terminal_(isatty(STDERR_FILENO) != 0) {}
  ~PullDisplay() {
    if (is_terminal_ && printed_) std::fputc('\n', stderr);
  }

  void update(const hub::PullProgress& progress) {
    const auto now = Clock::now();
    if (!started_) first_done_ = progress.done;
    started_ = true;
    const auto interval = is_terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(5000);
    if (now - last_ < interval && progress.done < progress.total) return;
    last_ = now;
    const auto seconds = std::chrono::duration<double>(now - begin_).count();
    const double rate = seconds > 0 ? static_cast<double>(progress.done - first_done_) / seconds : 0;
    const auto line =
        concat(name_, ": ", format_bytes(static_cast<std::int64_t>(progress.done)), " of ",
               format_bytes(static_cast<std::int64_t>(progress.total)),
               rate > 0 ? concat(", ", format_bytes(static_cast<std::int64_t>(rate)), "/s, ",
                                 format_time(static_cast<double>(progress.total - progress.done) / rate), " left")
                        : "");
    std::fprintf(stderr, is_terminal_ ? "\r\x1b[K%s" : "%s\n", line.c_str());
    std::fflush(stderr);
    printed_ = true;
  }

 private:
  static std::string format_time(double seconds) {
    const auto whole = static_cast<long long>(seconds);
    char text[32];
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    return text;
  }

  std::string name_;
  bool is_terminal_, started_ = false, printed_ = false;
  std::uint64_t first_done_ = 0;
  Clock::time_point begin_ = Clock::now(), last_ = begin_ - std::chrono::hours(1);
};

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
    PullDisplay display(options.pull.name);
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
  const auto folder = target_folder(options);
  hub::remove_pulled(folder, options.pull.name);
  std::printf("%s/%s is removed\n", folder.c_str(), options.pull.name.c_str());
  return 0;
}

}  // namespace easel
