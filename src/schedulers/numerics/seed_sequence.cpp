#include "schedulers/numerics/seed_sequence.h"

#include <algorithm>

namespace easel {
namespace {

using Word = std::uint32_t;

constexpr int kShift = 16;

// Words of a number, lowest first; 0 has one.
void append_words(std::uint64_t number, std::vector<Word>& words) {
  do {
    words.push_back(static_cast<Word>(number));
    number >>= 32;
  } while (number != 0);
}

// Numbers are hashed one after the other; each changes the hash of the next.
class Hash {
 public:
  Word operator()(Word value) {
    value ^= constant_;
    constant_ *= 0x931e8875u;
    value *= constant_;
    return value ^ value >> kShift;
  }

 private:
  Word constant_ = 0x43b0d7e5u;
};

Word mix(Word x, Word y) {
  const Word mixed = 0xca01f9ddu * x - 0x4973f715u * y;
  return mixed ^ mixed >> kShift;
}

std::vector<Word> mixed_pool(const std::vector<Word>& entropy, std::size_t pool_size) {
  Hash hash;
  std::vector<Word> pool;
  for (std::size_t i = 0; i < pool_size; ++i) pool.push_back(hash(i < entropy.size() ? entropy[i] : 0));
  for (std::size_t from = 0; from < pool_size; ++from) {
    for (std::size_t to = 0; to < pool_size; ++to) {
      if (from != to) pool[to] = mix(pool[to], hash(pool[from]));
    }
  }
  for (std::size_t from = pool_size; from < entropy.size(); ++from) {
    for (auto& word : pool) word = mix(word, hash(entropy[from]));
  }
  return pool;
}

}  // namespace

std::vector<std::uint32_t> seed_sequence(std::uint64_t entropy, std::span<const std::uint64_t> spawn_key,
                                         std::size_t pool_size, std::size_t count) {
  std::vector<Word> words;
  append_words(entropy, words);
  // This keeps a long entropy apart from a short one with a spawn key.
  if (!spawn_key.empty()) words.resize(std::max(words.size(), pool_size));
  for (const auto key : spawn_key) append_words(key, words);

  const auto pool = mixed_pool(words, pool_size);
  std::vector<Word> state;
  Word constant = 0x8b51f9ddu;
  for (std::size_t i = 0; i < count; ++i) {
    Word value = pool[i % pool_size] ^ constant;
    constant *= 0x58f38dedu;
    value *= constant;
    state.push_back(value ^ value >> kShift);
  }
  return state;
}

}  // namespace easel
