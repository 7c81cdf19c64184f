// The last prompts that were encoded.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <string>
#include <utility>

#include "core/lru_cache.h"

namespace easel {

struct EncodedPrompt {
  at::Tensor embeds;       ///< [1, T, D]; T is the encoder's length, or a multiple of it
  at::Tensor text_embeds;  ///< [1, P], pooled and projected, of the first chunk; undefined where there is no projection
  bool cut = false;        ///< the text encoder did not see all of the text
};

/// Evicts the least recently used prompts. Not thread-safe.
class PromptCache {
 public:
  /// @param capacity  chunks of tokens; most prompts are one
  explicit PromptCache(std::size_t capacity) : prompts_(capacity) {}

  /// Null when it is not there. The pointer is valid until the next insert.
  const EncodedPrompt* find(const std::string& key) {
    const auto* found = prompts_.find(key);
    if (found != nullptr) ++hits_;
    return found;
  }
  void insert(const std::string& key, EncodedPrompt prompt, std::size_t chunks) {
    prompts_.insert(key, std::move(prompt), chunks);
  }

  std::size_t hits() const { return hits_; }

 private:
  LruCache<EncodedPrompt> prompts_;
  std::size_t hits_ = 0;
};

}  // namespace easel
