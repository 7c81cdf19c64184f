// A file of low-rank adapters: the layers that it names, and their tensors. Independent of any model.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "weights/stores/safetensors.h"

namespace easel {

/// The role of a tensor in its layer's adapter.
enum class AdapterTensorRole {
  kDown,  ///< lora_A.weight, lora_down.weight, lora.down.weight, lora_linear_layer.down.weight
  kMid,   ///< lora_mid.weight
  kUp,
  kUpBias,         ///< lora_B.bias
  kAlpha,          ///< one number
  kPeftMagnitude,  ///< lora_magnitude_vector: DoRA as in PEFT
  kDoraScale,      ///< dora_scale: DoRA as in LyCORIS
  kHadaW1A,        ///< hada_...: LoHa
  kHadaW1B,
  kHadaW2A,
  kHadaW2B,
  kHadaT1,
  kHadaT2,
  kLokrW1,  ///< lokr_...: LoKr
  kLokrW1A,
  kLokrW1B,
  kLokrW2,
  kLokrW2A,
  kLokrW2B,
  kLokrT2,
  kDifference,      ///< diff: of the whole weight
  kBiasDifference,  ///< diff_b
  kNorm,            ///< w_norm: of the weight of a norm
  kNormBias,        ///< b_norm
};

/// Whether a tensor's name is one of an adapter's, by its ending.
bool is_adapter_tensor(const std::string& name);

/// The tensors of one layer.
struct AdapterModule {
  std::string name;  ///< as the file writes it, without PEFT's wrapping: "lora_unet_mid_block_attentions_0_proj_in"
  std::map<AdapterTensorRole, std::string> keys;  ///< role to the name of the tensor in the file
};

/// One .safetensors file of LoRA, LoCon, LoHa, LoKr, DoRA, norm or difference tensors in diffusers', PEFT's or kohya's
/// key style. Opening reads the header only. Thread-safe.
class AdapterFile {
 public:
  /// @throws Error(kNotFound, kCorruptData)  the file cannot be read, has two tensors of one role for a layer, or is
  /// empty
  /// @throws Error(kUnsupported)             a key belongs to none of these kinds; names it
  explicit AdapterFile(const std::string& path);

  const std::string& name() const { return name_; }  ///< without folders, for messages
  const std::vector<AdapterModule>& modules() const { return modules_; }
  /// The embeddings that OneTrainer bundled with the adapter (`bundle_emb.WORD.PART`): for each word, the names of its
  /// tensors by PART, which is the text encoder.
  const std::map<std::string, std::map<std::string, std::string>>& bundled_words() const { return words_; }
  const TensorStore& store() const { return store_; }
  const std::map<std::string, std::string>& metadata() const { return store_.metadata(); }
  const TensorInfo& info(const std::string& key) const { return *store_.find(key); }
  /// @throws Error(kCorruptData)  the file has changed
  at::Tensor read(const std::string& key) const { return store_.read(key); }

 private:
  std::string name_;
  SafetensorsFile store_;
  std::vector<AdapterModule> modules_;
  std::map<std::string, std::map<std::string, std::string>> words_;
};

}  // namespace easel
