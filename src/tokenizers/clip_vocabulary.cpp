#include "tokenizers/clip_vocabulary.h"

#include <sstream>
#include <string_view>

// The file itself, at the place where the linker keeps constants.
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

std::string utf8(unsigned code_point) {
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  return {static_cast<char>(0xC0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3F))};
}

/// GPT-2's spelling of each byte in the order of CLIP's ids: bytes that print stand for themselves and come first, the
/// others follow as code points from 256.
std::vector<std::string> byte_alphabet() {
  const auto is_printable = [](unsigned byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
  };
  std::vector<std::string> alphabet;
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (is_printable(byte)) alphabet.push_back(utf8(byte));
  }
  for (unsigned next = 256; alphabet.size() < 256; ++next) alphabet.push_back(utf8(next));
  return alphabet;
}

}  // namespace

VocabularyFiles clip_vocabulary() {
  VocabularyFiles files;
  files.merges_where = "CLIP's merges";
  const auto add = [&](const std::string& token) {
    files.vocabulary.emplace(token, static_cast<TokenId>(files.vocabulary.size()));
  };
  const auto alphabet = byte_alphabet();
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
