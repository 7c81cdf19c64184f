// Fuzzes adapter files: the keys of all trainers, and their tensors. A file is used whole or refused with a reason.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "../weights/samples.h"
#include "adapters/adapter_loader.h"
#include "adapters/layer_names.h"
#include "easel/error.h"
#include "fuzz_target.h"

namespace {

using easel::Component;
using easel::LayerTable;

std::shared_ptr<LayerTable> layers(Component component,
                                   const std::map<std::string, std::vector<std::int64_t>>& shapes) {
  auto table = std::make_shared<LayerTable>();
  table->component = component;
  for (const auto& [name, shape] : shapes) table->add(name, shape);
  return table;
}

easel::LayerNames all_names() {
  return easel::LayerNames(
      {layers(Component::kUnet, {{"conv_in", {2, 2, 3, 3}},
                                 {"down_blocks.0.attentions.0.proj_in", {2, 2}},
                                 {"down_blocks.0.resnets.0.conv1", {2, 2, 3, 3}},
                                 {"mid_block.attentions.0.transformer_blocks.0.attn1.to_q", {2, 2}}}),
       layers(Component::kTextEncoder, {{"text_model.encoder.layers.0.self_attn.q_proj", {2, 2}}}),
       layers(Component::kTransformer, {{"layers.0.attention.to_q", {2, 2}},
                                        {"layers.0.attention.to_k", {2, 2}},
                                        {"layers.0.attention.to_v", {2, 2}}})});
}

/// A file of this process, which is removed at its end.
struct InputFile {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("easel-adapter-" + std::to_string(getpid()) + ".safetensors"))
          .string();
  ~InputFile() { std::filesystem::remove(path); }
};

std::string file(const std::string& names_and_shapes) {
  return easel::samples::safetensors("{" + names_and_shapes + "}", 16);
}

/// Two tensors of two float16 numbers each.
std::string pair(const std::string& down, const std::string& up) {
  return file(
      "\"" + down + R"(":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]},")" + up +
      R"(":{"dtype":"F16","shape":[2,1],"data_offsets":[4,8]},"rest.alpha":{"dtype":"F32","shape":[2],"data_offsets":[8,16]})");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const InputFile input;
  static const auto names = all_names();
  std::ofstream(input.path, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    const auto adapter = easel::load_adapter(input.path, "0", names, {});
    if (adapter->layers.empty()) std::abort();
  } catch (const easel::Error& error) {
    if (error.code() == easel::ErrorCode::kInternal) std::abort();
  }
  // The bytes as one name.
  const std::string text(reinterpret_cast<const char*>(data), size);
  names.find(text);
  names.find_fused(text);
  return 0;
}

std::vector<std::string> easel::seed_corpus() {
  const std::string down = ".lora_down.weight", up = ".lora_up.weight", a = ".lora_A.weight", b = ".lora_B.weight";
  const auto with = [](const std::string& layer, const std::string& one, const std::string& other) {
    return pair(layer + one, layer + other);
  };
  return {with("lora_unet_down_blocks_0_attentions_0_proj_in", down, up),
          with("lora_unet_input_blocks_1_1_proj_in", down, up),
          with("unet.down_blocks.0.attentions.0.proj_in", a, b),
          with("base_model.model.layers.0.attention.to_q", ".lora_A.default.weight", ".lora_B.default.weight"),
          with("lora_te_text_model_encoder_layers_0_self_attn_q_proj", ".hada_w1_a", ".hada_w1_b"),
          with("diffusion_model.layers.0.attention.qkv", ".lokr_w1", ".lokr_w2"),
          with("mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora", ".down.weight", ".up.weight"),
          samples::valid_safetensors()};
}
