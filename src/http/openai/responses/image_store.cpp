#include "http/openai/responses/image_store.h"

#include <utility>

#include "http/wire/random_id.h"

namespace easel::http {

std::optional<std::string> ImageStore::add(StoredImage&& image) {
  const auto bytes = image.bytes.size();
  if (bytes > max_bytes_) return std::nullopt;
  auto id = random_id();
  auto file = std::make_shared<const StoredImage>(std::move(image));
  const MutexLock lock(mutex_);
  drop_expired();
  while (bytes > max_bytes_ - bytes_) drop_oldest();
  by_age_.push_back({id, now_() + lifetime_});
  files_.emplace(id, std::move(file));
  bytes_ += bytes;
  return id;
}

std::shared_ptr<const StoredImage> ImageStore::find(std::string_view id) {
  const MutexLock lock(mutex_);
  drop_expired();
  const auto found = files_.find(id);
  return found == files_.end() ? nullptr : found->second;
}

// All files have the same lifetime, so that the oldest one expires first.
void ImageStore::drop_expired() {
  while (!by_age_.empty() && by_age_.front().expires <= now_()) drop_oldest();
}

void ImageStore::drop_oldest() {
  const auto oldest = files_.find(by_age_.front().id);
  bytes_ -= oldest->second->bytes.size();
  files_.erase(oldest);
  by_age_.pop_front();
}

}  // namespace easel::http
