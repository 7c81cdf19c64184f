#include "app/models/last_use.h"

#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>
#include <utility>

#include "app/models/state_folder.h"
#include "core/digest.h"

namespace easel {
namespace {

namespace fs = std::filesystem;
using SystemClock = std::chrono::system_clock;

constexpr std::chrono::minutes kNoteInterval{1};

/// The file whose modification time is that of the last use. The same for every path that leads to the model.
fs::path file_of(const std::string& path) {
  const auto folder = state_folder("last-use");
  if (folder.empty()) return {};
  std::error_code unknown;
  const auto real = fs::weakly_canonical(path, unknown);
  Digest digest;
  digest.update(unknown ? path : real.string());
  return folder / digest.finish_hex();
}

}  // namespace

void note_use(const std::string& path) {
  const auto file = file_of(path);
  if (file.empty()) return;
  std::error_code ignored;
  fs::create_directories(file.parent_path(), ignored);
  std::ofstream(file, std::ios::app).flush();
  fs::last_write_time(file, fs::file_time_type::clock::now(), ignored);
}

std::optional<SystemClock::time_point> last_use(const std::string& path) {
  struct stat status;
  const auto file = file_of(path);
  if (file.empty() || stat(file.c_str(), &status) != 0) return std::nullopt;
  return SystemClock::from_time_t(status.st_mtime);
}

void note_requests(ServedModel& model) {
  using Clock = std::chrono::steady_clock;
  const auto noted = std::make_shared<std::atomic<Clock::time_point>>(Clock::now() - kNoteInterval);
  model.check = [noted, path = model.description.folder, check = std::move(model.check)](const auto& request) {
    if (check) check(request);
    auto before = noted->load();
    const auto now = Clock::now();
    // Of several threads, the one that replaces the time writes the file.
    if (now - before >= kNoteInterval && noted->compare_exchange_strong(before, now)) note_use(path);
  };
}

}  // namespace easel
