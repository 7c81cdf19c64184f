#include "tokenizers/clip_vocabulary.h"

#include <algorithm>
#include <array>
#include <sstream>
#include <string>

#include "tokenizers/byte_pair_encoder.h"

// Embeds the file in the section of constants.
asm(".pushsection .rodata\n"
    ".global easel_clip_merges, easel_clip_merges_end\n"
    "easel_clip_merges:\n"
    ".incbin \"" EASEL_CLIP_MERGES
    "\"\n"
    "easel_clip_merges_end:\n"
    ".popsection\n");
extern "C" const char easel_clip_merges[], easel_clip_merges_end[];

namespace easel {
namespace {

/// GPT-2's spelling of the bytes in the order of CLIP's ids, which is that of the code points.
std::array<std::string, 256> ordered_byte_alphabet() {
  auto alphabet = byte_alphabet();
  std::sort(alphabet.begin(), alphabet.end());  // UTF-8 sorts by code point
  return alphabet;
}

}  // namespace

VocabularyFiles clip_vocabulary() {
  VocabularyFiles files;
  files.merges_where = "CLIP's merges";
  const auto add = [&](const std::string& token) {
    files.vocabulary.emplace(token, static_cast<TokenId>(files.vocabulary.size()));
  };
  const auto alphabet = ordered_byte_alphabet();
  for (const auto& byte : alphabet) add(byte);
  for (const auto& byte : alphabet) add(byte + "</w>");

  std::istringstream lines(std::string(easel_clip_merges, easel_clip_merges_end));
  std::string line;
  std::getline(lines, line);  // "#version: 0.2"
  while (std::getline(lines, line)) {
    const auto space = line.find(' ');
    files.merges.emplace_back(line.substr(0, space), line.substr(space + 1));
    add(files.merges.back().first + files.merges.back().second);
  }
  add("<|startoftext|>");
  add("<|endoftext|>");
  return files;
}

}  // namespace easel
