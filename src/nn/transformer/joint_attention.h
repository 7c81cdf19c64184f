// Attention of transformers over tokens of images and texts: the projections to heads, and attention over two streams
// (Esser et al. 2024, arXiv:2403.03206).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "nn/layers.h"
#include "nn/transformer/rms_norm.h"
#include "nn/transformer/rotary.h"

namespace easel {

/// Queries, keys and values of the same tokens, each [B, L, heads, head_dim].
struct AttentionHeads {
  at::Tensor query, key, value;
};

/// What the tokens of a call have in common, in the order in which they are attended to.
struct TokenSequence {
  std::optional<RotaryTable> rotary =
      std::nullopt;      ///< of all L tokens; none: the model does not turn queries and keys
  at::Tensor mask = {};  ///< bool [B, 1, 1, L]: the tokens that a row has; undefined: every row has all
};

/// Attention among all tokens. @return  [B, L, heads * head_dim]
at::Tensor attend(const AttentionHeads& heads, const TokenSequence& sequence);

/// The names of a stream's layers in a checkpoint of diffusers.
struct HeadProjectionNames {
  const char* query;
  const char* key;
  const char* value;
  const char* norm_query;
  const char* norm_key;
};
inline constexpr HeadProjectionNames kImageProjectionNames{
    .query = "to_q", .key = "to_k", .value = "to_v", .norm_query = "norm_q", .norm_key = "norm_k"};
inline constexpr HeadProjectionNames kTextProjectionNames{.query = "add_q_proj",
                                                          .key = "add_k_proj",
                                                          .value = "add_v_proj",
                                                          .norm_query = "norm_added_q",
                                                          .norm_key = "norm_added_k"};

struct JointAttentionOptions {
  std::int64_t dim;  ///< width of the tokens
  std::int64_t heads;
  std::int64_t head_dim;
  Bias bias = Bias::kPresent;                     ///< of all projections
  std::optional<double> norm_eps = std::nullopt;  ///< of RmsNorm on the queries and keys of each head; none: no norm
};

/// The projections of one stream. Immutable; thread-safe.
class HeadProjection {
 public:
  HeadProjection(const ModuleScope& scope, const HeadProjectionNames& names, const JointAttentionOptions& options);
  AttentionHeads operator()(const at::Tensor& x, const RunContext& ctx) const;  // of [B, L, dim]

 private:
  Linear query_, key_, value_;
  std::optional<RmsNorm> norm_query_, norm_key_;
  std::int64_t heads_;
};

/// The tokens of the image and of the text: [B, image length, dim] and [B, text length, dim].
struct TokenStreams {
  at::Tensor image, text;
};

/// Which stream comes first in the common sequence. The order matters to TokenSequence and to the last bits of a
/// result.
enum class StreamOrder { kTextFirst, kImageFirst };

/// Whether the text's tokens are projected to an output. Those of a model's last block are not used.
enum class TextOutput { kPresent, kNone };

/// diffusers' attention over two streams of tokens, each of which has projections of its own: to_q, to_k, to_v and
/// to_out.0 of the image, add_q_proj, add_k_proj, add_v_proj and to_add_out of the text. Immutable; thread-safe.
class JointAttention {
 public:
  JointAttention(const ModuleScope& scope, const JointAttentionOptions& options,
                 StreamOrder order = StreamOrder::kTextFirst, TextOutput text_output = TextOutput::kPresent);
  /// @param sequence  of both streams in their order
  /// @return          the shapes of x; `text` is undefined with TextOutput::kNone
  TokenStreams operator()(const TokenStreams& x, const TokenSequence& sequence, const RunContext& ctx) const;

 private:
  HeadProjection image_, text_;
  Linear image_out_;
  std::optional<Linear> text_out_;
  StreamOrder order_;
};

}  // namespace easel
