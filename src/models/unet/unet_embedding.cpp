#include "models/unet/unet_embedding.h"

#include <ATen/ops/cat.h>

#include <vector>

#include "core/text.h"
#include "easel/error.h"
#include "nn/prompt_projections.h"

namespace easel {
namespace {

bool is_fourier(const UNet2DConditionConfig& config) {
  return config.time_embedding_type == TimeEmbeddingType::kFourier;
}

std::int64_t time_channels(const UNet2DConditionConfig& config) {
  return is_fourier(config) ? config.time_embedding_dim : config.levels[0].channels;
}

void check_given(const at::Tensor& tensor, const char* name, bool wanted) {
  if (tensor.defined() != wanted) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("unet: ", name, wanted ? " is missing" : " is not used by this model"));
  }
}

/// The conditions of a part's rows, repeated for as many timesteps as each of them has.
/// @param reads_prompt  whether the prompt's tokens are one of them
UNetInput with_timesteps(const UNetInput& input, const at::Tensor& timesteps, const PromptPart& part,
                         bool reads_prompt) {
  if (timesteps.is_same(input.timesteps)) return input;
  const auto repeat = [&](const at::Tensor& condition) {
    if (!condition.defined()) return condition;
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(condition.dim()) + 1, -1);
    sizes[0] = timesteps.size(0) / part.count;
    return condition.narrow(0, part.first, part.count).unsqueeze(0).expand(sizes).flatten(0, 1);
  };
  UNetInput repeated;
  repeated.sample = input.sample;  // which only says the dtype
  repeated.timesteps = timesteps;
  if (reads_prompt) repeated.encoder_hidden_states = repeat(input.encoder_hidden_states);
  repeated.added_text_embeds = repeat(input.added_text_embeds);
  repeated.added_time_ids = repeat(input.added_time_ids);
  repeated.class_labels = repeat(input.class_labels);
  repeated.timestep_cond = repeat(input.timestep_cond);
  return repeated;
}

}  // namespace

UNetEmbedding::UNetEmbedding(const UNet2DConditionConfig& config, const ModuleScope& scope)
    : config_(config),
      time_proj_(make_time_projection(config, scope)),
      time_embedding_(scope / "time_embedding", {.in_channels = time_channels(config),
                                                 .time_embed_dim = config.time_embedding_dim,
                                                 .activation = config.act_fn,
                                                 .post_activation = config.timestep_post_act,
                                                 .cond_proj_dim = config.time_cond_proj_dim}),
      class_embedding_(make_class_embedding(config, scope)),
      add_embedding_(make_added_embedding(config, scope)) {
  if (config.addition_embed_type == AdditionEmbedType::kTextTime) {
    add_time_proj_.emplace(TimestepsOptions{.channels = config.addition_time_embed_dim,
                                            .flip_sin_to_cos = config.flip_sin_to_cos,
                                            .freq_shift = config.freq_shift},
                           scope.placement().device);
  }
}

UNetEmbedding::TimeProjection UNetEmbedding::make_time_projection(const UNet2DConditionConfig& config,
                                                                  const ModuleScope& scope) {
  if (is_fourier(config)) {
    return GaussianFourierProjection(scope / "time_proj", config.time_embedding_dim / 2, config.flip_sin_to_cos);
  }
  return Timesteps({.channels = config.levels[0].channels,
                    .flip_sin_to_cos = config.flip_sin_to_cos,
                    .freq_shift = config.freq_shift},
                   scope.placement().device);
}

std::optional<UNetEmbedding::ClassEmbedding> UNetEmbedding::make_class_embedding(const UNet2DConditionConfig& config,
                                                                                 const ModuleScope& scope) {
  const auto place = scope / "class_embedding";
  const auto width = config.time_embedding_dim, projected = config.projection_class_embeddings_input_dim;
  switch (config.class_embed_type) {
    case ClassEmbedType::kNone:
    case ClassEmbedType::kIdentity:
      return std::nullopt;
    case ClassEmbedType::kEmbedding:
      return Embedding(place, config.num_class_embeds, width);
    case ClassEmbedType::kTimestep:
      return TimestepEmbedding(
          place, {.in_channels = time_channels(config), .time_embed_dim = width, .activation = config.act_fn});
    case ClassEmbedType::kProjection:
      return TimestepEmbedding(place, {.in_channels = projected, .time_embed_dim = width});
    case ClassEmbedType::kSimpleProjection:
      return Linear(place, projected, width);
  }
  return std::nullopt;
}

std::optional<UNetEmbedding::AddedEmbedding> UNetEmbedding::make_added_embedding(const UNet2DConditionConfig& config,
                                                                                 const ModuleScope& scope) {
  const auto place = scope / "add_embedding";
  switch (config.addition_embed_type) {
    case AdditionEmbedType::kNone:
      return std::nullopt;
    case AdditionEmbedType::kText:
      return TextTimeEmbedding(place, config.levels[0].cross_attention_dim, config.time_embedding_dim,
                               config.addition_embed_type_num_heads);
    case AdditionEmbedType::kTextTime:
      return TimestepEmbedding(place, {.in_channels = config.projection_class_embeddings_input_dim,
                                       .time_embed_dim = config.time_embedding_dim});
  }
  return std::nullopt;
}

at::Tensor UNetEmbedding::operator()(const UNetInput& input, const RunContext& ctx) const {
  const bool text_time = config_.addition_embed_type == AdditionEmbedType::kTextTime;
  check_given(input.class_labels, "class_labels", config_.class_embed_type != ClassEmbedType::kNone);
  check_given(input.added_text_embeds, "added_text_embeds", text_time);
  check_given(input.added_time_ids, "added_time_ids", text_time);
  if (input.timestep_cond.defined())
    check_given(input.timestep_cond, "timestep_cond", config_.time_cond_proj_dim.has_value());
  const PromptPart all{.first = 0, .count = input.timesteps.size(0), .tokens = input.encoder_hidden_states.size(1)};
  return embed_timesteps_once(input.timesteps, all, ctx, [&](const at::Tensor& timesteps, const PromptPart& part) {
    return embed(with_timesteps(input, timesteps, part, config_.addition_embed_type == AdditionEmbedType::kText), ctx);
  });
}

at::Tensor UNetEmbedding::embed(const UNetInput& input, const RunContext& ctx) const {
  const auto dtype = input.sample.scalar_type();
  const auto time = project_time(input.timesteps).to(dtype);
  auto emb = time_embedding_(time, input.timestep_cond, ctx);  // [B, time_embedding_dim]
  if (config_.class_embed_type != ClassEmbedType::kNone) {
    const auto class_emb = embed_class(input, ctx).to(dtype);
    emb = config_.class_embeddings_concat ? at::cat({emb, class_emb}, /*dim=*/-1) : emb.add(class_emb);
  }
  if (add_embedding_) {
    const auto* text = std::get_if<TextTimeEmbedding>(&*add_embedding_);
    emb = emb.add(text != nullptr ? (*text)(input.encoder_hidden_states, ctx) : embed_text_and_time(input, ctx));
  }
  return config_.time_embedding_act_fn ? activate(*config_.time_embedding_act_fn, emb) : emb;
}

at::Tensor UNetEmbedding::project_time(const at::Tensor& numbers) const {
  return std::visit([&](const auto& projection) { return projection(numbers); }, time_proj_);
}

at::Tensor UNetEmbedding::embed_class(const UNetInput& input, const RunContext& ctx) const {
  if (!class_embedding_) return input.class_labels;  // identity
  const auto labels = config_.class_embed_type == ClassEmbedType::kTimestep
                          ? project_time(input.class_labels).to(input.sample.scalar_type())
                          : input.class_labels;
  if (const auto* table = std::get_if<Embedding>(&*class_embedding_)) return (*table)(labels);
  if (const auto* linear = std::get_if<Linear>(&*class_embedding_)) return (*linear)(labels, ctx);
  return std::get<TimestepEmbedding>(*class_embedding_)(labels, /*condition=*/{}, ctx);
}

at::Tensor UNetEmbedding::embed_text_and_time(const UNetInput& input, const RunContext& ctx) const {
  const auto batch = input.added_text_embeds.size(0);
  const auto times = (*add_time_proj_)(input.added_time_ids.flatten()).reshape({batch, -1});  // [B, n D]
  const auto both = at::cat({input.added_text_embeds, times}, /*dim=*/-1);
  if (both.size(1) != config_.projection_class_embeddings_input_dim) {
    throw Error(
        ErrorCode::kInvalidArgument,
        concat("unet: added_text_embeds and added_time_ids make a vector of ", both.size(1),
               ", expected `projection_class_embeddings_input_dim` = ", config_.projection_class_embeddings_input_dim));
  }
  return std::get<TimestepEmbedding>(*add_embedding_)(both.to(input.sample.scalar_type()), /*condition=*/{}, ctx);
}

}  // namespace easel
