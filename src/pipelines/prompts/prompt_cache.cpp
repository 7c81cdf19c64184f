#include "pipelines/prompts/prompt_cache.h"

#include <utility>

namespace easel {

const EncodedPrompt* PromptCache::find(const std::string& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  ++hits_;
  recent_.splice(recent_.begin(), recent_, found->second);
  return &found->second->prompt;
}

void PromptCache::insert(const std::string& key, EncodedPrompt prompt, std::size_t chunks) {
  chunks_ += chunks;
  recent_.push_front({key, std::move(prompt), chunks});
  by_key_[key] = recent_.begin();
  while (chunks_ > capacity_) {
    chunks_ -= recent_.back().chunks;
    by_key_.erase(recent_.back().key);
    recent_.pop_back();
  }
}

}  // namespace easel
