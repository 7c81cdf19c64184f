#include "core/component.h"

#include <algorithm>
#include <array>

namespace easel {
namespace {

/// In the order of the enumerators.
const std::array<std::string, 13>& names() {
  static const std::array<std::string, 13> names = {
      "text_encoder",      "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2",
      "tokenizer_3",       "unet",           "transformer",    "vae",       "scheduler",
      "low_res_scheduler", "image_encoder",  "safety_checker"};
  return names;
}

}  // namespace

const std::string& component_name(Component component) {
  return names().at(static_cast<std::size_t>(component));
}

std::optional<Component> find_component(std::string_view name) {
  const auto found = std::find(names().begin(), names().end(), name);
  if (found == names().end()) return std::nullopt;
  return static_cast<Component>(found - names().begin());
}

bool is_text_encoder(Component component) {
  return component == Component::kTextEncoder || component == Component::kTextEncoder2 ||
         component == Component::kTextEncoder3;
}

bool is_denoising_model(Component component) {
  return component == Component::kUnet || component == Component::kTransformer;
}

bool is_scheduler(Component component) {
  return component == Component::kScheduler || component == Component::kLowResScheduler;
}

Component tokenizer_of(Component text_encoder) {
  if (text_encoder == Component::kTextEncoder3) return Component::kTokenizer3;
  return text_encoder == Component::kTextEncoder2 ? Component::kTokenizer2 : Component::kTokenizer;
}

}  // namespace easel
