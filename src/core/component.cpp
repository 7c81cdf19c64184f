#include "core/component.h"

#include <algorithm>
#include <array>

namespace easel {
namespace {

/// In the order of the enumerators.
const std::array<std::string, 10>& names() {
  static const std::array<std::string, 10> names = {
      "text_encoder", "text_encoder_2", "tokenizer",         "tokenizer_2",   "unet",
      "vae",          "scheduler",      "low_res_scheduler", "image_encoder", "safety_checker"};
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
  return component == Component::kTextEncoder || component == Component::kTextEncoder2;
}

bool is_scheduler(Component component) {
  return component == Component::kScheduler || component == Component::kLowResScheduler;
}

Component tokenizer_of(Component text_encoder) {
  return text_encoder == Component::kTextEncoder2 ? Component::kTokenizer2 : Component::kTokenizer;
}

}  // namespace easel
