#include "weights/convert/quantize.h"

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/component.h"
#include "core/text.h"
#include "easel/error.h"
#include "weights/convert/gguf_writer.h"
#include "weights/convert/safetensors_writer.h"
#include "weights/format/file_names.h"
#include "weights/stores/component_store.h"
#include "weights/stores/quantization.h"
#include "weights/stores/safetensors.h"
#include "weights/stores/tensor_table.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

constexpr Component kQuantizedComponents[] = {Component::kUnet, Component::kTransformer, Component::kTextEncoder,
                                              Component::kTextEncoder2, Component::kTextEncoder3};
constexpr std::string_view kWeightEnding = ".weight";

std::string layer_of(const std::string& weight) {
  return weight.substr(0, weight.size() - kWeightEnding.size());
}

/// A store of blocks of 8-bit floating point as the tensors of a safetensors file: values, and a scale for each matrix.
class ScaledTensors : public TensorStore {
 public:
  explicit ScaledTensors(std::shared_ptr<const TensorStore> blocks) : blocks_(std::move(blocks)) {
    for (const auto& name : blocks_->names()) {
      auto info = *blocks_->find(name);
      if (info.blocks != nullptr) {
        info.blocks = nullptr;
        info.dtype = c10::ScalarType::Float8_e4m3fn;
        const auto scale = layer_of(name) + ".weight_scale";
        tensors_.add(scale, {.file = info.file, .dtype = c10::kFloat, .shape = {}});
        weights_[scale] = name;
      }
      tensors_.add(name, std::move(info));
    }
  }

  std::vector<std::string> names() const override { return tensors_.names(); }
  const TensorInfo* find(const std::string& name) const override { return tensors_.find(name); }
  at::Tensor read(const std::string& name) const override {
    if (const auto weight = weights_.find(name); weight != weights_.end()) {
      return blocks_->read_blocks(weight->second).value().scale.reshape({});
    }
    if (blocks_->find(name)->blocks == nullptr) return blocks_->read(name);
    return blocks_->read_blocks(name).value().blocks.view(tensors_.find(name)->dtype);
  }
  void release(const std::string& name) const override {
    const auto weight = weights_.find(name);
    blocks_->release(weight == weights_.end() ? name : weight->second);
  }
  std::string where() const override { return blocks_->where(); }

  /// What tells readers which layers are scaled.
  std::string layers() const {
    nlohmann::json layers = nlohmann::json::object();
    for (const auto& [scale, weight] : weights_) layers[layer_of(weight)] = {{"format", "float8_e4m3fn"}};
    return nlohmann::json{{"format_version", "1.0"}, {"layers", layers}}.dump();
  }

 private:
  std::shared_ptr<const TensorStore> blocks_;
  TensorTable tensors_;
  std::map<std::string, std::string> weights_;  // by the names of their scales
};

void write_quantized(std::shared_ptr<const TensorStore> store, WeightQuantization quantization,
                     const std::string& target, const ConvertProgress& progress, std::vector<ConvertedFile>& written) {
  if (fs::exists(target)) return;
  const auto source = store->where();
  const auto quantized = quantizing(std::move(store), quantization);
  const auto write = [&](const auto& tensors, const auto& to_file) {
    const auto total = tensors.names().size();
    const auto bytes = to_file([&](std::size_t done) {
      if (progress) progress(source, done, total);
    });
    written.push_back({.source = source, .target = target, .tensors = total, .bytes = bytes});
  };
  if (quantization == WeightQuantization::kQ8_0) {
    return write(*quantized, [&](const auto& report) {
      return write_gguf(target, *quantized, {{"general.architecture", "easel"}}, report);
    });
  }
  const ScaledTensors scaled(quantized);
  write(scaled, [&](const auto& report) {
    return write_safetensors(target, scaled, {{"format", "pt"}, {"_quantization_metadata", scaled.layers()}}, report);
  });
}

/// The ending of a file: ".fp8.safetensors", ".q8_0.gguf".
std::string ending_of(WeightQuantization quantization) {
  return concat('.', quantization_name(quantization),
                quantization == WeightQuantization::kQ8_0 ? ".gguf" : ".safetensors");
}

}  // namespace

std::vector<ConvertedFile> quantize_checkpoint(const std::string& path, WeightQuantization quantization,
                                               const ConvertProgress& progress) {
  std::vector<ConvertedFile> written;
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) {
    if (!is_safetensors_name(path)) {
      throw Error(ErrorCode::kUnsupported, path + " is not a .safetensors file; only these can be quantised");
    }
    const auto file = std::make_shared<SafetensorsFile>(path);
    refuse_unknown_quantization(*file);
    write_quantized(file, quantization, fs::path(path).replace_extension().string() + ending_of(quantization), progress,
                    written);
    return written;
  }
  bool has_denoiser = false;
  for (const auto component : kQuantizedComponents) {
    const auto folder = concat(path, '/', component_name(component));
    if (!fs::is_directory(folder, ignored)) continue;
    has_denoiser = has_denoiser || is_denoising_model(component);
    const std::string stem = is_text_encoder(component) ? "model" : "diffusion_pytorch_model";
    const auto store = open_component(folder, stem);
    refuse_unknown_quantization(*store);
    write_quantized(store, quantization, concat(folder, '/', stem, ending_of(quantization)), progress, written);
  }
  if (!has_denoiser)
    throw Error(ErrorCode::kNotFound, path + " is not a checkpoint folder: it has no unet or transformer");
  return written;
}

}  // namespace easel
