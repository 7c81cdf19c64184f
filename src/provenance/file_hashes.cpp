#include "provenance/file_hashes.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <system_error>
#include <utility>

#include "core/digest.h"
#include "core/text.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kHexDigits = 64;
constexpr std::size_t kReadBytes = 1 << 20;
constexpr int kLowestPriority = 19;

/// What tells that a file is still the same one: its size and its modification time. Empty: it is not a file.
std::string state_of(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  return concat(status.st_size, ' ', status.st_mtim.tv_sec, ' ', status.st_mtim.tv_nsec);
}

/// The file that keeps the hash of another one: the same for every path that leads to it.
fs::path note_of(const fs::path& folder, const std::string& path) {
  std::error_code unknown;
  const auto real = fs::weakly_canonical(path, unknown);
  Digest digest;
  digest.update(unknown ? path : real.string());
  return folder / digest.finish_hex();
}

/// Empty: there is none, or the file has changed since.
std::string read_note(const fs::path& note, const std::string& state) {
  std::ifstream file(note);
  std::string noted, hash;
  std::getline(file, noted);
  std::getline(file, hash);
  return noted == state && hash.size() == kHexDigits ? hash : std::string();
}

/// A note that cannot be written is computed again at the next start.
void write_note(const fs::path& note, const std::string& state, const std::string& hash) {
  std::error_code ignored;
  fs::create_directories(note.parent_path(), ignored);
  const auto written = note.string() + concat('.', getpid());
  const bool good = static_cast<bool>(std::ofstream(written) << state << '\n' << hash << '\n' << std::flush);
  if (good) fs::rename(written, note, ignored);
  if (!good || ignored) fs::remove(written, ignored);
}

/// Empty: the file cannot be read, or `stopped` became true.
std::string hash_of_file(const std::string& path, const std::function<bool()>& stopped) {
  std::ifstream file(path, std::ios::binary);
  std::string piece(kReadBytes, '\0');
  Digest digest;
  while (file) {
    if (stopped()) return {};
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    digest.update(std::string_view(piece).substr(0, static_cast<std::size_t>(file.gcount())));
  }
  return file.eof() ? digest.finish_hex() : std::string();
}

}  // namespace

FileHashes::FileHashes(fs::path folder) : folder_(std::move(folder)) {}

FileHashes::~FileHashes() {
  std::thread thread;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    thread = std::move(thread_);
  }
  if (thread.joinable()) thread.join();
}

std::string FileHashes::known(const std::string& path) const {
  const MutexLock lock(mutex_);
  const auto found = known_.find(path);
  return found == known_.end() ? std::string() : found->second.hash;
}

void FileHashes::compute_later(const std::string& path) {
  const MutexLock lock(mutex_);
  wanted_.insert(path);
  changed_.notify_all();
  if (!thread_.joinable() && !stopping_) thread_ = std::thread([this] { run(); });
}

std::string FileHashes::compute(const std::string& path) {
  const auto found = find_or_compute(path);
  const MutexLock lock(mutex_);
  if (found.hash.empty()) {
    known_.erase(path);
  } else {
    known_[path] = found;
  }
  return found.hash;
}

void FileHashes::run() {
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kLowestPriority);
  while (true) {
    std::string path;
    {
      const MutexLock lock(mutex_);
      while (!stopping_ && wanted_.empty()) changed_.wait(mutex_);
      if (stopping_) return;
      path = *wanted_.begin();
    }
    compute(path);
    // Requests for the file that came meanwhile are answered, too.
    const MutexLock lock(mutex_);
    wanted_.erase(path);
  }
}

FileHashes::Known FileHashes::find_or_compute(const std::string& path) {
  const auto state = state_of(path);
  if (state.empty()) return {};
  {
    const MutexLock lock(mutex_);
    const auto found = known_.find(path);
    if (found != known_.end() && found->second.state == state) return found->second;
  }
  const auto note = folder_.empty() ? fs::path() : note_of(folder_, path);
  if (!note.empty()) {
    if (auto noted = read_note(note, state); !noted.empty()) return {state, std::move(noted)};
  }
  const auto stopped = [this] {
    const MutexLock lock(mutex_);
    return stopping_;
  };
  auto hash = hash_of_file(path, stopped);
  if (hash.empty() || state_of(path) != state) return {};
  if (!note.empty()) write_note(note, state, hash);
  return {state, std::move(hash)};
}

}  // namespace easel
