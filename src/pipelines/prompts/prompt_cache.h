// The last prompts that were encoded.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <list>
#include <string>
#include <unordered_map>

namespace easel {

struct EncodedPrompt {
  at::Tensor embeds;       ///< [1, T, D]; T is the encoder's length, or a multiple of it
  at::Tensor text_embeds;  ///< [1, P], pooled and projected, of the first chunk; undefined where there is no projection
  bool cut = false;        ///< the text encoder did not see all of the text
};

/// Forgets what was not asked for the longest time. Not thread-safe.
class PromptCache {
 public:
  /// @param capacity  chunks of tokens; most prompts are one
  explicit PromptCache(std::size_t capacity) : capacity_(capacity) {}

  /// Null when it is not there. The pointer lives until the next insert.
  const EncodedPrompt* find(const std::string& key);
  /// @param key  not there yet
  void insert(const std::string& key, EncodedPrompt prompt, std::size_t chunks);

  std::size_t hits() const { return hits_; }

 private:
  struct CachedPrompt {
    std::string key;
    EncodedPrompt prompt;
    std::size_t chunks;
  };

  std::size_t capacity_, chunks_ = 0, hits_ = 0;
  std::list<CachedPrompt> recent_;  // most recently used first
  std::unordered_map<std::string, std::list<CachedPrompt>::iterator> by_key_;
};

}  // namespace easel
