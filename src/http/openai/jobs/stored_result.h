// The result of a request that is read later or more than once: its images are in the image store.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/mutex.h"
#include "http/openai/responses/image_result.h"
#include "http/openai/responses/image_store.h"

namespace easel::http {

/// Thread-safe.
class StoredResult {
 public:
  /// Moves the images into the store. Images that do not fit are kept here for the first load(), if `keep_unstored`.
  StoredResult(ImageResult result, ImageStore& store, bool keep_unstored);

  /// Whether load() would give a result now.
  bool is_complete();
  /// The result with its images; none when one of them is no longer kept.
  std::optional<ImageResult> load();

 private:
  ImageStore& store_;
  Mutex mutex_;
  ImageResult result_ EASEL_GUARDED_BY(mutex_);  // with the files that are not in the store
};

}  // namespace easel::http
