// Replacement of characters by the table that a sentencepiece model carries.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace easel {

/// sentencepiece's precompiled_charsmap, applied as the `tokenizers` library applies it in normalizers.Precompiled.
///
/// Format: the size in bytes of a trie as a little-endian uint32; the trie, an array of uint32 as darts-clone writes
/// it; replacements, each of them UTF-8 that ends with a zero byte. The trie's value for a key is the offset of the
/// key's replacement.
///
/// Immutable, so safe to share between threads.
class PrecompiledCharsmap {
 public:
  /// @param bytes  the table; an empty one changes nothing
  /// @param where  what error messages call it
  /// @throws Error(kCorruptData)  a size that does not agree with the bytes; a node outside of the trie, or one that
  ///                              leads back to itself; a replacement that is outside of the table or is not UTF-8
  PrecompiledCharsmap(std::string_view bytes, const std::string& where);

  /// Replaces extended grapheme clusters of less than 6 bytes, and the single characters of all others. The shortest
  /// key that is a prefix of the cluster or character decides, and its replacement stands for all of it: an accent that
  /// follows a replaced letter is lost.
  /// @param text  valid UTF-8
  std::string normalize(std::string_view text) const;

 private:
  std::optional<std::string_view> replacement(std::string_view text) const;
  void check_trie(const std::string& where) const;
  void check_leaf(std::size_t unit, const std::string& where) const;

  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

/// A table without keys.
std::string identity_charsmap();

/// The bytes of standard base64, with padding.
/// @throws Error(kCorruptData)  anything else
std::string decode_charsmap_base64(std::string_view text, const std::string& where);

}  // namespace easel
