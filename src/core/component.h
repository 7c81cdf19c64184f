// The components that a checkpoint is made of.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace easel {

/// A component that model_index.json names and that has a folder of its own in diffusers' layout. Names appear only
/// where files are read or written and in messages.
enum class Component {
  kTextEncoder,
  kTextEncoder2,
  kTextEncoder3,
  kTokenizer,
  kTokenizer2,
  kTokenizer3,
  kUnet,
  kTransformer,
  kVae,
  kScheduler,
  kLowResScheduler,
  kImageEncoder,
  kSafetyChecker,
};

/// The component's name in model_index.json, which is also its folder's: "unet", "text_encoder_2".
const std::string& component_name(Component component);

/// The component of that name, if easel knows it.
std::optional<Component> find_component(std::string_view name);

bool is_text_encoder(Component component);
/// The UNet or transformer that denoises latents.
bool is_denoising_model(Component component);
bool is_scheduler(Component component);

/// The tokenizer that belongs to a text encoder.
Component tokenizer_of(Component text_encoder);

}  // namespace easel
