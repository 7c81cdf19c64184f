#include "adapters/prompt_adapters.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <vector>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"

namespace easel {
namespace {

constexpr std::string_view kOpenings[] = {"<lora:", "<lyco:"};
constexpr std::size_t kOpeningLength = kOpenings[0].size();

bool opens_at(std::string_view text, std::size_t at) {
  const auto opening = text.substr(at, kOpeningLength);
  return opening == kOpenings[0] || opening == kOpenings[1];
}

/// Such prompts are written for Python's float(), which accepts spaces around the number and a plus sign.
std::string_view without_plus(std::string_view number) {
  while (number.starts_with(' ')) number.remove_prefix(1);
  while (number.ends_with(' ')) number.remove_suffix(1);
  if (number.starts_with('+') && !number.starts_with("+-")) number.remove_prefix(1);
  return number;
}

Error rejected_prompt(std::string_view text, const std::string& why) {
  return {ErrorCode::kInvalidArgument, concat(quote_name(concat("<lora:", text, ">")), " in the prompt: ", why),
          "prompt"};
}

/// @param text  everything between "<lora:" and ">", for messages
double parse_weight(std::string_view number, std::string_view text) {
  const auto digits = without_plus(number);
  double weight = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), weight);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    throw rejected_prompt(text, concat(quote_name(digits), " is not a number"));
  }
  return weight;
}

/// Parses the text between "<lora:" and ">".
AdapterSelection parse_use(std::string_view text) {
  constexpr std::string_view kTextEncoder = "te=", kUNet = "unet=";
  std::vector<double> in_order;
  std::optional<double> text_encoder, unet;
  auto rest = text;
  const auto next_part = [&rest] {
    const auto part = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    return part;
  };
  AdapterSelection use{.name = std::string(next_part())};
  bool more = use.name.size() < text.size();
  while (more) {
    more = rest.find(':') != std::string_view::npos;
    const auto part = next_part();
    if (part.starts_with(kTextEncoder)) {
      text_encoder = parse_weight(part.substr(kTextEncoder.size()), text);
    } else if (part.starts_with(kUNet)) {
      unet = parse_weight(part.substr(kUNet.size()), text);
    } else {
      in_order.push_back(parse_weight(part, text));
    }
  }
  if (in_order.size() > 2)
    throw rejected_prompt(text, "expected at most two weights, for the text encoders and for the UNet");
  if (!text_encoder && !in_order.empty()) text_encoder = in_order[0];
  if (!unet && in_order.size() == 2) unet = in_order[1];
  use.weight = unet.value_or(text_encoder.value_or(1.0));
  if (unet) use.text_encoder_weight = text_encoder.value_or(1.0);
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
