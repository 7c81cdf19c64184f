#include "http/openai/jobs/stored_result.h"

#include <algorithm>
#include <utility>

#include "core/log.h"

namespace easel::http {

StoredResult::StoredResult(ImageResult result, ImageStore& store, bool keep_unstored)
    : store_(store), result_(std::move(result)) {
  for (auto& item : result_.items) {
    StoredImage image{.bytes = std::move(item.file), .format = result_.options.output.format};
    if (auto id = store_.add(std::move(image))) {
      item.file = {};
      item.stored_id = std::move(*id);
    } else {
      // add() leaves what it does not keep. NOLINTNEXTLINE(bugprone-use-after-move)
      log::warning("an image does not fit into the store for images", {{"bytes", image.bytes.size()}});
      // NOLINTNEXTLINE(bugprone-use-after-move)
      item.file = keep_unstored ? std::move(image.bytes) : std::string();
    }
  }
}

bool StoredResult::is_complete() {
  const MutexLock lock(mutex_);
  return std::all_of(result_.items.begin(), result_.items.end(), [&](const ImageResult::Item& item) {
    return item.stored_id.empty() ? !item.file.empty() : store_.find(item.stored_id) != nullptr;
  });
}

std::optional<ImageResult> StoredResult::load() {
  const MutexLock lock(mutex_);
  auto result = result_;
  for (std::size_t i = 0; i < result.items.size(); ++i) {
    auto& item = result.items[i];
    if (item.stored_id.empty()) {
      result_.items[i].file = {};
      if (item.file.empty()) return std::nullopt;
      continue;
    }
    const auto image = store_.find(item.stored_id);
    if (!image) return std::nullopt;
    item.file = image->bytes;
  }
  return result;
}

}  // namespace easel::http
