#include "weights/stores/adapter_file.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"

namespace easel {
namespace {

struct Suffix {
  std::string_view text;
  AdapterTensorRole part;
};

// Old files of diffusers say "to_q_lora.down.weight" where newer ones say "to_q.lora.down.weight".
constexpr Suffix kSuffixes[] = {
    {".lora_down.weight", AdapterTensorRole::kDown},
    {".lora_up.weight", AdapterTensorRole::kUp},
    {".lora_mid.weight", AdapterTensorRole::kMid},
    {".lora_A.weight", AdapterTensorRole::kDown},
    {".lora_B.weight", AdapterTensorRole::kUp},
    {".lora_B.bias", AdapterTensorRole::kUpBias},
    {".lora.down.weight", AdapterTensorRole::kDown},
    {".lora.up.weight", AdapterTensorRole::kUp},
    {"_lora.down.weight", AdapterTensorRole::kDown},
    {"_lora.up.weight", AdapterTensorRole::kUp},
    {".lora_linear_layer.down.weight", AdapterTensorRole::kDown},
    {".lora_linear_layer.up.weight", AdapterTensorRole::kUp},
    // XLabs': "double_blocks.0.processor.qkv_lora1.down.weight".
    {".down.weight", AdapterTensorRole::kDown},
    {".up.weight", AdapterTensorRole::kUp},
    {".alpha", AdapterTensorRole::kAlpha},
    {".lora_magnitude_vector", AdapterTensorRole::kPeftMagnitude},
    {".lora_magnitude_vector.weight", AdapterTensorRole::kPeftMagnitude},
    {".dora_scale", AdapterTensorRole::kDoraScale},
    {".hada_w1_a", AdapterTensorRole::kHadaW1A},
    {".hada_w1_b", AdapterTensorRole::kHadaW1B},
    {".hada_w2_a", AdapterTensorRole::kHadaW2A},
    {".hada_w2_b", AdapterTensorRole::kHadaW2B},
    {".hada_t1", AdapterTensorRole::kHadaT1},
    {".hada_t2", AdapterTensorRole::kHadaT2},
    {".lokr_w1", AdapterTensorRole::kLokrW1},
    {".lokr_w1_a", AdapterTensorRole::kLokrW1A},
    {".lokr_w1_b", AdapterTensorRole::kLokrW1B},
    {".lokr_w2", AdapterTensorRole::kLokrW2},
    {".lokr_w2_a", AdapterTensorRole::kLokrW2A},
    {".lokr_w2_b", AdapterTensorRole::kLokrW2B},
    {".lokr_t2", AdapterTensorRole::kLokrT2},
    {".diff", AdapterTensorRole::kDifference},
    {".diff_b", AdapterTensorRole::kBiasDifference},
    {".w_norm", AdapterTensorRole::kNorm},
    {".b_norm", AdapterTensorRole::kNormBias},
};

/// Without what PEFT adds to the names of the layers and parts of a model that it wraps: "base_model.model." before the
/// layer or between the name of the component and the layer, and the name of the adapter behind the part, which is
/// "default" unless a trainer chose another.
std::string without_peft_wrapping(std::string key) {
  constexpr std::string_view kWrapper = "base_model.model.";
  const auto wrapper = key.find(kWrapper);
  if (wrapper != std::string::npos && (wrapper == 0 || wrapper == key.find('.') + 1))
    key.erase(wrapper, kWrapper.size());
  for (const std::string_view part : {".lora_A.", ".lora_B.", ".lora_magnitude_vector."}) {
    const auto found = key.rfind(part);
    if (found == std::string::npos) continue;
    const auto begin = found + part.size(), end = std::min(key.find('.', begin), key.size());
    const auto rest = std::string_view(key).substr(end);
    if (end > begin && (rest == ".weight" || rest == ".bias")) {
      key.erase(begin, end + 1 - begin);
    } else if (rest.empty() && key.ends_with(".default")) {  // older versions of PEFT
      key.erase(begin - 1);
    }
  }
  return key;
}

/// How OneTrainer names the embeddings of words that it adds to an adapter.
constexpr std::string_view kBundledEmbedding = "bundle_emb.";

/// What OneTrainer adds to an adapter: the step of training, and embeddings of words, which are not adapters.
bool is_left_over(const std::string& key) {
  return key == "global_step" || key.starts_with(kBundledEmbedding);
}

/// The word that an embedding is for and its text encoder, from "bundle_emb.WORD.clip_l". The word may contain dots.
std::pair<std::string, std::string> word_and_part(const std::string& key) {
  constexpr std::string_view kListed = ".string_to_param.*";
  constexpr auto begin = kBundledEmbedding.size();
  const auto end = key.ends_with(kListed) ? key.size() - kListed.size() : key.rfind('.');
  if (end == std::string::npos || end < begin) return {key.substr(begin), ""};
  return {key.substr(begin, end - begin), key.substr(end + 1)};
}

const Suffix* suffix_of(std::string_view key) {
  for (const auto& suffix : kSuffixes) {
    if (key.size() > suffix.text.size() && key.ends_with(suffix.text)) return &suffix;
  }
  return nullptr;
}

}  // namespace

bool is_adapter_tensor(const std::string& name) {
  return suffix_of(without_peft_wrapping(name)) != nullptr;
}

AdapterFile::AdapterFile(const std::string& path) : name_(path.substr(path.rfind('/') + 1)), store_(path) {
  std::map<std::string, AdapterModule> by_name;
  for (const auto& key : store_.names()) {
    if (is_left_over(key)) {
      if (key == "global_step") continue;
      auto [word, part] = word_and_part(key);
      words_[std::move(word)].emplace(std::move(part), key);
      continue;
    }
    const auto plain = without_peft_wrapping(key);
    const auto* suffix = suffix_of(plain);
    if (suffix == nullptr) {
      throw Error(ErrorCode::kUnsupported,
                  concat(name_, ": ", quote_name(key),
                         " is not a tensor of LoRA, LoCon, LoHa, LoKr, DoRA, a norm or a full difference"));
    }
    const auto name = plain.substr(0, plain.size() - suffix->text.size());
    auto& module = by_name[name];
    module.name = name;
    if (!module.keys.emplace(suffix->part, key).second) {
      throw Error(ErrorCode::kCorruptData, concat(name_, ": ", quote_name(key), " and ",
                                                  quote_name(module.keys.at(suffix->part)), " are the same part"));
    }
  }
  if (by_name.empty()) {
    throw Error(ErrorCode::kCorruptData,
                concat(name_, words_.empty() ? " holds no tensors of an adapter"
                                             : " holds embeddings of words, but no tensors of an adapter"));
  }
  for (auto& [name, module] : by_name) modules_.push_back(std::move(module));
}

}  // namespace easel
