// A cache that evicts what has not been used for the longest time.
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <unordered_map>
#include <utility>

namespace easel {

/// Values by key, up to a total weight; beyond it the least recently used ones are evicted. Not thread-safe.
template <class Value>
class LruCache {
 public:
  /// @param capacity  greatest total weight, in whatever unit insert() is given, e.g. bytes
  explicit LruCache(std::size_t capacity) : capacity_(capacity) {}

  /// The value of `key`, which becomes the most recently used one; null when it is not there. The pointer is valid
  /// until the next insert() or erase().
  Value* find(const std::string& key) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return nullptr;
    recent_.splice(recent_.begin(), recent_, found->second);
    return &found->second->value;
  }

  /// Adds a value as the most recently used one, in place of an earlier value of `key`. A value that weighs more than
  /// the capacity evicts everything, itself included.
  void insert(const std::string& key, Value value, std::size_t weight) {
    erase(key);
    recent_.push_front({key, std::move(value), weight});
    by_key_[key] = recent_.begin();
    weight_ += weight;
    while (weight_ > capacity_) erase(std::string(recent_.back().key));
  }

  /// Does nothing when there is no such key.
  void erase(const std::string& key) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return;
    weight_ -= found->second->weight;
    recent_.erase(found->second);
    by_key_.erase(found);
  }

  /// Total weight of the values in the cache.
  std::size_t weight() const { return weight_; }

 private:
  struct CachedValue {
    std::string key;
    Value value;
    std::size_t weight;
  };

  std::size_t capacity_, weight_ = 0;
  std::list<CachedValue> recent_;  // most recently used first
  std::unordered_map<std::string, typename std::list<CachedValue>::iterator> by_key_;
};

}  // namespace easel
