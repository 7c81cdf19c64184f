#include "checkpoints/unused_tensors.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <set>

#include "core/log.h"
#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"
#include "weights/stores/ignored_tensors.h"
#include "weights/stores/quantization.h"

namespace easel {
namespace {

using PartKind = FilePart::Kind;

struct HarmlessTensors {
  PartKind kind;
  const char* pattern;  // of a name after the part's prefix
  const char* reason;
};
constexpr HarmlessTensors kHarmless[] = {
    {PartKind::kTextEncoder, "*position_ids", "it holds the numbers of the positions, which are counted anyway"},
    {PartKind::kTextEncoder, "*logit_scale",
     "it scales the comparison of texts with images, which CLIP was trained on"},
    {PartKind::kTextEncoder, "*attn_mask", "it is the causal mask, which follows from the length of a prompt"},
    {PartKind::kTextEncoder, "*visual.*", "it belongs to CLIP's image encoder"},
    {PartKind::kTextEncoder, "*vision_model.*", "it belongs to CLIP's image encoder"},
    {PartKind::kTextEncoder, "*visual_projection.*", "it belongs to CLIP's image encoder"},
    {PartKind::kTransformer, "norm_final.weight", "Z-Image's model has it and does not call it"},
    {PartKind::kVae, "loss.*", "it is used only in training"},
    {PartKind::kVae, "model_ema.*", "it is a moving average of other weights"}};

bool is_in(const FilePart& part, const std::string& name) {
  if (!name.starts_with(part.prefix)) return false;
  if (part.kind != PartKind::kVae || !part.prefix.empty()) return true;
  return std::ranges::any_of(std::array{"encoder.", "decoder.", "quant_conv.", "post_quant_conv."},
                             [&](const char* half) { return name.starts_with(half); });
}

}  // namespace

const char* harmless_because(PartKind kind, const std::string& rest) {
  for (const auto& harmless : kHarmless) {
    if (harmless.kind == kind && ::fnmatch(harmless.pattern, rest.c_str(), 0) == 0) return harmless.reason;
  }
  return nullptr;
}

void check_all_used(const TensorStore& store, const FilePart& part, const OriginalNames& used,
                    const std::vector<std::string>& ignored) {
  std::set<std::string> known;
  for (const auto& [name, original] : used) known.insert(original.name);
  std::vector<std::string> left;
  bool may_be_ignored = true;
  for (const auto& name : store.names()) {
    if (!is_in(part, name) || known.contains(name)) continue;
    if (const char* reason = harmless_because(part.kind, name.substr(part.prefix.size()))) {
      log::debug(concat(store.where(), ": tensor ", quote_name(name), " is left out: ", reason));
    } else if (is_ignored(name, ignored)) {
      log::info(concat(store.where(), ": tensor ", quote_name(name), " is left out, as --ignore-tensors says"));
    } else {
      left.push_back(quote_name(name));
      may_be_ignored = may_be_ignored && !changes_weights(name);
    }
  }
  if (left.empty()) return;
  constexpr std::size_t kMaxListed = 20;
  const auto count = left.size();
  left.resize(std::min(count, kMaxListed));
  throw Error(ErrorCode::kCorruptData,
              concat(store.where(), ": ", count, count == 1 ? " tensor is" : " tensors are",
                     " not used by the model: ", join(left), count > kMaxListed ? ", ..." : "",
                     "; --ignore-tensors PATTERN leaves out tensors that do not matter",
                     may_be_ignored ? "" : ", but not scales, norms, biases and markers of quantisation"));
}

}  // namespace easel
