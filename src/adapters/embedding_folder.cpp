#include "adapters/embedding_folder.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/log.h"
#include "core/text.h"
#include "easel/error.h"
#include "tokenizers/unicode_text.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 3> kExtensions = {".safetensors", ".pt", ".bin"};
// Coarser than any file system's timestamps: two changes within this time may have the same one.
constexpr std::chrono::seconds kMtimeGranularity(2);

/// The index of the extension in kExtensions, or their number for any other extension.
std::size_t extension_rank(const fs::path& path) {
  const auto extension = path.extension().string();
  return static_cast<std::size_t>(std::find(kExtensions.begin(), kExtensions.end(), extension) - kExtensions.begin());
}

}  // namespace

EmbeddingFolder::EmbeddingFolder(std::string path) : path_(std::move(path)), files_(std::make_shared<Files>()) {
  if (!fs::is_directory(path_)) {
    throw Error(ErrorCode::kNotFound, concat("embeddings folder ", path_, " does not exist"));
  }
}

std::shared_ptr<const EmbeddingFolder::Files> EmbeddingFolder::files() {
  const MutexLock lock(mutex_);
  std::error_code gone;
  const auto time = fs::last_write_time(path_, gone);
  if (!gone && settled_ && time == time_) return files_;
  time_ = time;
  settled_ = FileTime::clock::now() - time > kMtimeGranularity;
  auto files = read_folder();
  if (files != *files_) {
    log::info("the embeddings folder was read", {{"words", files.size()}});
    const auto current = std::make_shared<const Files>(std::move(files));
    std::erase_if(cache_, [&](const auto& cached) {
      return std::ranges::find(*current, cached.first, &File::path) == current->end();
    });
    files_ = current;
  }
  return files_;
}

EmbeddingFolder::Files EmbeddingFolder::read_folder() const {
  std::map<std::string, fs::path> best;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator(path_, gone)) {
    const auto rank = extension_rank(entry.path());
    std::error_code ignored;
    if (rank == kExtensions.size() || !entry.is_regular_file(ignored)) continue;
    const auto word = entry.path().stem().string();
    if (to_valid_utf8(word) != word) continue;  // a prompt cannot contain it
    const auto [there, inserted] = best.try_emplace(word, entry.path());
    if (!inserted && rank < extension_rank(there->second)) there->second = entry.path();
  }
  Files files;
  for (const auto& [word, path] : best) files.push_back({word, path.string()});
  return files;
}

std::shared_ptr<const EmbeddingFolder::Loaded> EmbeddingFolder::load(const File& file) {
  const MutexLock lock(mutex_);
  const auto stamp = stamp_of(file.path);
  const auto known = cache_.find(file.path);
  if (stamp && known != cache_.end() && known->second.stamp == stamp) return known->second.loaded;
  try {
    auto loaded = std::make_shared<Loaded>(LearnedEmbedding(file.path), ++versions_);
    cache_.insert_or_assign(file.path, Cached{stamp, loaded});
    return loaded;
  } catch (const Error& e) {
    throw Error(e.code(), without_folder(e.what()));
  }
}

/// Clients must not learn the path of the folder.
std::string EmbeddingFolder::without_folder(std::string message) const {
  const auto prefix = path_ + "/";
  for (auto at = message.find(prefix); at != std::string::npos; at = message.find(prefix)) {
    message.erase(at, prefix.size());
  }
  return message;
}

}  // namespace easel
