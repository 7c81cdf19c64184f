#include "weights/stores/adapter_file.h"

#include <string_view>
#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message.h"

namespace easel {
namespace {

struct Ending {
  std::string_view text;
  AdapterPart part;
};

// Old files of diffusers say "to_q_lora.down.weight" where newer ones say "to_q.lora.down.weight".
constexpr Ending kEndings[] = {
    {".lora_down.weight", AdapterPart::kDown},
    {".lora_up.weight", AdapterPart::kUp},
    {".lora_mid.weight", AdapterPart::kMid},
    {".lora_A.weight", AdapterPart::kDown},
    {".lora_B.weight", AdapterPart::kUp},
    {".lora_B.bias", AdapterPart::kUpBias},
    {".lora.down.weight", AdapterPart::kDown},
    {".lora.up.weight", AdapterPart::kUp},
    {"_lora.down.weight", AdapterPart::kDown},
    {"_lora.up.weight", AdapterPart::kUp},
    {".lora_linear_layer.down.weight", AdapterPart::kDown},
    {".lora_linear_layer.up.weight", AdapterPart::kUp},
    {".alpha", AdapterPart::kAlpha},
    {".lora_magnitude_vector", AdapterPart::kPeftMagnitude},
    {".lora_magnitude_vector.weight", AdapterPart::kPeftMagnitude},
    {".dora_scale", AdapterPart::kDoraScale},
    {".hada_w1_a", AdapterPart::kHadaW1A},
    {".hada_w1_b", AdapterPart::kHadaW1B},
    {".hada_w2_a", AdapterPart::kHadaW2A},
    {".hada_w2_b", AdapterPart::kHadaW2B},
    {".hada_t1", AdapterPart::kHadaT1},
    {".hada_t2", AdapterPart::kHadaT2},
    {".lokr_w1", AdapterPart::kLokrW1},
    {".lokr_w1_a", AdapterPart::kLokrW1A},
    {".lokr_w1_b", AdapterPart::kLokrW1B},
    {".lokr_w2", AdapterPart::kLokrW2},
    {".lokr_w2_a", AdapterPart::kLokrW2A},
    {".lokr_w2_b", AdapterPart::kLokrW2B},
    {".lokr_t2", AdapterPart::kLokrT2},
    {".diff", AdapterPart::kDifference},
    {".diff_b", AdapterPart::kBiasDifference},
};

const Ending* ending_of(std::string_view key) {
  for (const auto& ending : kEndings) {
    if (key.size() > ending.text.size() && key.ends_with(ending.text)) return &ending;
  }
  return nullptr;
}

}  // namespace

bool is_adapter_tensor(const std::string& name) {
  return ending_of(name) != nullptr;
}

AdapterFile::AdapterFile(const std::string& path) : name_(path.substr(path.rfind('/') + 1)), store_(path) {
  std::map<std::string, AdapterModule> by_name;
  for (const auto& key : store_.names()) {
    const auto* ending = ending_of(key);
    if (ending == nullptr) {
      throw Error(
          ErrorCode::kUnsupported,
          concat(name_, ": ", name_text(key), " is no tensor of LoRA, LoCon, LoHa, LoKr, DoRA or a full difference"));
    }
    const auto name = key.substr(0, key.size() - ending->text.size());
    auto& module = by_name[name];
    module.name = name;
    if (!module.keys.emplace(ending->part, key).second) {
      throw Error(ErrorCode::kCorruptData, concat(name_, ": ", name_text(key), " and ",
                                                  name_text(module.keys.at(ending->part)), " are the same part"));
    }
  }
  if (by_name.empty()) throw Error(ErrorCode::kCorruptData, name_ + " holds no tensors");
  for (auto& [name, module] : by_name) modules_.push_back(std::move(module));
}

}  // namespace easel
