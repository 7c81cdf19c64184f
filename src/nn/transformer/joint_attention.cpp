#include "nn/transformer/joint_attention.h"

#include <ATen/ops/cat.h>

#include "nn/attention.h"

namespace easel {
namespace {

std::optional<RmsNorm> head_norm(const ModuleScope& scope, const JointAttentionOptions& options) {
  if (!options.norm_eps) return std::nullopt;
  return RmsNorm(scope, options.head_dim, *options.norm_eps);
}

at::Tensor one_after_another(const at::Tensor& first, const at::Tensor& second) {
  return at::cat({first, second}, /*dim=*/1);
}

AttentionHeads one_after_another(const AttentionHeads& first, const AttentionHeads& second) {
  return {.query = one_after_another(first.query, second.query),
          .key = one_after_another(first.key, second.key),
          .value = one_after_another(first.value, second.value)};
}

}  // namespace

at::Tensor attend(const AttentionHeads& heads, const TokenSequence& sequence) {
  const auto turned = [&](const at::Tensor& x) { return sequence.rotary ? rotate_pairs(x, *sequence.rotary) : x; };
  return multi_head_attention(turned(heads.query).flatten(2), turned(heads.key).flatten(2), heads.value.flatten(2),
                              heads.query.size(2), sequence.mask);
}

HeadProjection::HeadProjection(const ModuleScope& scope, const HeadProjectionNames& names,
                               const JointAttentionOptions& options)
    : query_(scope / names.query, options.dim, options.heads * options.head_dim, options.bias),
      key_(scope / names.key, options.dim, options.heads * options.head_dim, options.bias),
      value_(scope / names.value, options.dim, options.heads * options.head_dim, options.bias),
      norm_query_(head_norm(scope / names.norm_query, options)),
      norm_key_(head_norm(scope / names.norm_key, options)),
      heads_(options.heads) {}

AttentionHeads HeadProjection::operator()(const at::Tensor& x, const RunContext& ctx) const {
  const auto heads_of = [&](const Linear& projection) { return projection(x, ctx).unflatten(-1, {heads_, -1}); };
  const auto normed = [&](const Linear& projection, const std::optional<RmsNorm>& norm) {
    return norm ? (*norm)(heads_of(projection)) : heads_of(projection);
  };
  return {.query = normed(query_, norm_query_), .key = normed(key_, norm_key_), .value = heads_of(value_)};
}

JointAttention::JointAttention(const ModuleScope& scope, const JointAttentionOptions& options, StreamOrder order,
                               TextOutput text_output)
    : image_(scope, kImageProjectionNames, options),
      text_(scope, kTextProjectionNames, options),
      image_out_(scope / "to_out" / 0, options.heads * options.head_dim, options.dim, options.bias),
      order_(order) {
  if (text_output == TextOutput::kPresent) {
    text_out_.emplace(scope / "to_add_out", options.heads * options.head_dim, options.dim, options.bias);
  }
}

TokenStreams JointAttention::operator()(const TokenStreams& x, const TokenSequence& sequence,
                                        const RunContext& ctx) const {
  const bool text_first = order_ == StreamOrder::kTextFirst;
  const auto image_length = x.image.size(1), text_length = x.text.size(1);
  const auto attended = [&] {
    const auto image = image_(x.image, ctx), text = text_(x.text, ctx);
    return attend(text_first ? one_after_another(text, image) : one_after_another(image, text), sequence);
  }();
  const auto image = attended.narrow(1, text_first ? text_length : 0, image_length);
  const auto text = attended.narrow(1, text_first ? 0 : image_length, text_length);
  // Linear layers are faster on rows that lie one after another.
  return {.image = image_out_(image.contiguous(), ctx),
          .text = text_out_ ? (*text_out_)(text.contiguous(), ctx) : at::Tensor()};
}

}  // namespace easel
