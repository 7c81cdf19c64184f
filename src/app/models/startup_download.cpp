#include "app/models/startup_download.h"

#include <chrono>

#include "app/command_line/format.h"
#include "app/models/hub_options.h"
#include "app/models/models_dir.h"
#include "core/log.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kLogInterval{5};

/// A sum over all models, as PendingDownload shows it.
class Reporter {
 public:
  Reporter(PendingDownload& progress, const std::function<bool()>& stop) : progress_(progress), stop_(stop) {}

  void begin(const std::string& name) {
    name_ = name;
    done_before_ = progress_.done_bytes;
    total_before_ = progress_.total_bytes;
  }
  void report(const hub::PullProgress& now) {
    if (stop_()) throw Error(ErrorCode::kCancelled, concat("the download of ", name_, " was stopped"));
    progress_.done_bytes = done_before_ + now.done;
    progress_.total_bytes = total_before_ + now.total;
    if (Clock::now() - logged_ < kLogInterval) return;
    logged_ = Clock::now();
    log::info(concat("downloading ", name_, ": ", format_bytes(static_cast<std::int64_t>(now.done)), " of ",
                     format_bytes(static_cast<std::int64_t>(now.total))));
  }

 private:
  PendingDownload& progress_;
  const std::function<bool()>& stop_;
  std::string name_;
  std::uint64_t done_before_ = 0, total_before_ = 0;
  Clock::time_point logged_ = Clock::now() - kLogInterval;
};

}  // namespace

void download_models(const Options& options, const std::vector<std::string>& names, PendingDownload& progress,
                     const std::function<bool()>& stop) {
  auto pull_options = make_pull_options(options, models_dir(options.model.models_dir));
  pull_options.policy.stop = stop;
  Reporter reporter(progress, stop);
  pull_options.on_progress = [&](const hub::PullProgress& now) { reporter.report(now); };
  for (const auto& name : names) {
    reporter.begin(name);
    const auto model = hub::pull(name, pull_options);
    log::info(concat("downloaded ", name, " to ", model.path),
              {{"licence", model.licence.empty() ? "not stated" : model.licence}});
  }
}

}  // namespace easel
