#include "adapters/prompt_adapters.h"

#include <charconv>
#include <string_view>

#include "core/text.h"
#include "easel/error.h"
#include "weights/message.h"

namespace easel {
namespace {

constexpr std::string_view kOpenings[] = {"<lora:", "<lyco:"};
constexpr std::size_t kOpeningLength = kOpenings[0].size();

bool opens_at(std::string_view text, std::size_t at) {
  const auto opening = text.substr(at, kOpeningLength);
  return opening == kOpenings[0] || opening == kOpenings[1];
}

/// As Python's float() reads it, which is what such prompts are written for: spaces around it and a plus will do.
std::string_view without_plus(std::string_view number) {
  while (number.starts_with(' ')) number.remove_prefix(1);
  while (number.ends_with(' ')) number.remove_suffix(1);
  if (number.starts_with('+') && !number.starts_with("+-")) number.remove_prefix(1);
  return number;
}

/// Of the text between "<lora:" and ">".
AdapterUse parse_use(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return {.name = std::string(text), .weight = 1.0};
  const auto digits = without_plus(text.substr(colon + 1));
  AdapterUse use{.name = std::string(text.substr(0, colon)), .weight = 0};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), use.weight);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    throw Error(ErrorCode::kInvalidArgument,
                concat(name_text(concat("<lora:", text, ">")), " in the prompt: ", name_text(digits), " is no number"),
                "prompt");
  }
  return use;
}

}  // namespace

GenerationRequest with_prompt_adapters(GenerationRequest request) {
  auto& prompt = request.prompt;
  std::size_t begin = 0;
  while ((begin = prompt.find('<', begin)) != std::string::npos) {
    const auto end = prompt.find('>', begin);
    if (end == std::string::npos) break;
    if (!opens_at(prompt, begin)) {
      ++begin;
      continue;
    }
    const auto first = begin + kOpeningLength;
    request.loras.push_back(parse_use(std::string_view(prompt).substr(first, end - first)));
    prompt.erase(begin, end + 1 - begin);
  }
  return request;
}

}  // namespace easel
