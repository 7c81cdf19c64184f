#include "checkpoints/checkpoint_source.h"

#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "checkpoints/single_file_configs.h"
#include "checkpoints/tiny_autoencoder.h"
#include "checkpoints/unused_tensors.h"
#include "core/text.h"
#include "weights/format/message_format.h"
#include "weights/stores/component_files.h"
#include "weights/stores/component_store.h"
#include "weights/stores/ignored_tensors.h"
#include "weights/stores/key_mapping.h"
#include "weights/stores/quantization.h"
#include "weights/stores/safetensors.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

// Names of weight files without extension, in diffusers and in transformers.
constexpr char kDiffusersStem[] = "diffusion_pytorch_model";
constexpr char kTransformersStem[] = "model";

const char* stem_of(Component component) {
  return is_text_encoder(component) ? kTransformersStem : kDiffusersStem;
}

class FolderSource : public CheckpointSource {
 public:
  FolderSource(std::string folder, std::vector<std::string> ignored_tensors, std::string variant)
      : folder_(std::move(folder)), ignored_tensors_(std::move(ignored_tensors)), variant_(std::move(variant)) {}

  Config config(Component component) const override {
    const char* name = is_scheduler(component) ? "scheduler_config.json" : "config.json";
    const auto path = concat(folder_, '/', component_name(component), '/', name);
    return Config::read_file(path, path);
  }
  std::shared_ptr<const TensorStore> weights(Component component) const override {
    return without_ignored(open_component_folder(concat(folder_, '/', component_name(component)), component, variant_),
                           ignored_tensors_);
  }
  std::unique_ptr<Tokenizer> tokenizer(Component component) const override {
    return load_clip_tokenizer(concat(folder_, '/', component_name(component)));
  }
  std::unique_ptr<TextTokenizer> text_tokenizer(Component component, TextTokenizerKind kind,
                                                std::int64_t vocab_size) const override {
    const auto folder = concat(folder_, '/', component_name(component));
    return kind == TextTokenizerKind::kQwen ? load_qwen_tokenizer(folder, vocab_size)
                                            : load_t5_tokenizer(folder, vocab_size);
  }

 private:
  std::string folder_;
  std::vector<std::string> ignored_tensors_;
  std::string variant_;
};

/// Opens a file that holds an autoencoder.
std::shared_ptr<const TensorStore> open_vae_file(const std::string& path, const std::vector<std::string>& ignored) {
  const auto original = std::make_shared<SafetensorsFile>(path);
  refuse_unknown_quantization(*original);
  auto file = with_both_tiny_halves(with_scales(original), path);
  const NameSet names(*file);
  if (is_tiny_autoencoder(names)) return without_ignored(std::move(file), ignored);
  if (names.has_prefix("encoder.down_blocks.")) return without_ignored(with_attention_names(std::move(file)), ignored);
  const auto prefix = find_vae(names);
  if (!prefix)
    throw Error(ErrorCode::kCorruptData, path + " does not hold an autoencoder: it has no tensor `encoder.down...`");
  auto used = original_vae_names(original_vae_layout(names, *prefix), *prefix);
  check_all_used(*file, {.kind = FilePart::Kind::kVae, .prefix = *prefix}, used, ignored);
  return with_diffusers_names(std::move(file), std::move(used));
}

bool has_vae(const CheckpointSource& source) {
  try {
    source.weights(Component::kVae);
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// The config for a file without config.json, in a checkpoint without an autoencoder. Sizes are taken from the file.
Config config_for_file(const std::string& path, Config fields) {
  const SafetensorsFile file(path);
  const NameSet names(file);
  const auto prefix = find_vae(names);
  if (!prefix) return fields;
  const VaeTraits traits{.scaling_factor = fields.get<double>("scaling_factor"),
                         .force_upcast = fields.get<bool>("force_upcast"),
                         .sample_size = fields.get<std::int64_t>("sample_size")};
  return {vae_config_of(file, original_vae_layout(names, *prefix), *prefix, traits), path};
}

/// The config of a file that holds an AutoencoderTiny; none for other files.
std::optional<Config> tiny_file_config(const std::string& path) {
  const auto file = with_both_tiny_halves(std::make_shared<SafetensorsFile>(path), path);
  if (!is_tiny_autoencoder(NameSet(*file))) return std::nullopt;
  return Config(tiny_config_of(*file), path);
}

/// @param own  of the model
/// @throws Error(kUnsupported)  the model's latents are others than those of the AutoencoderTiny
void check_tiny_fits(Config tiny, Config own) {
  const auto reject = [&](const std::string& why) {
    throw Error(ErrorCode::kUnsupported, concat(tiny.where(), ": this AutoencoderTiny does not fit the model: ", why));
  };
  if (own.raw("_class_name") == "AutoencoderKLFlux2") reject("its autoencoder is an AutoencoderKLFlux2");
  constexpr std::int64_t kDefaultChannels = 4;
  const auto channels = tiny.get<std::int64_t>("latent_channels", kDefaultChannels),
             own_channels = own.get<std::int64_t>("latent_channels", kDefaultChannels);
  if (channels != own_channels) {
    reject(concat("`latent_channels` is ", channels, ", but ", own_channels, " in the model's own"));
  }
  constexpr std::size_t kDefaultLevels = 4;
  const auto& blocks = tiny.raw("num_encoder_blocks");
  const auto levels = blocks.is_array() ? blocks.size() : kDefaultLevels;
  const auto& own_blocks = own.raw("block_out_channels");
  if (own_blocks.is_array() && own_blocks.size() != levels) {
    reject(concat("it has ", levels, " levels, but the model's own ", own_blocks.size()));
  }
}

/// The folder itself or, for a whole checkpoint, the folder of its autoencoder.
std::string vae_folder(const std::string& path) {
  const auto inner = fs::path(path) / component_name(Component::kVae);
  return fs::exists(inner / "config.json") && !fs::exists(fs::path(path) / "config.json") ? inner.string() : path;
}

/// Another source, of which some components are changed.
class ChangedSource : public CheckpointSource {
 public:
  explicit ChangedSource(std::shared_ptr<const CheckpointSource> source) : source_(std::move(source)) {}

  Config config(Component component) const override { return source_->config(component); }
  std::unique_ptr<Tokenizer> tokenizer(Component component) const override { return source_->tokenizer(component); }
  std::unique_ptr<TextTokenizer> text_tokenizer(Component component, TextTokenizerKind kind,
                                                std::int64_t vocab_size) const override {
    return source_->text_tokenizer(component, kind, vocab_size);
  }

 protected:
  std::shared_ptr<const CheckpointSource> source_;
};

class VaeOverrideSource : public ChangedSource {
 public:
  VaeOverrideSource(std::shared_ptr<const CheckpointSource> source, const std::string& path,
                    std::vector<std::string> ignored_tensors)
      : ChangedSource(std::move(source)),
        ignored_tensors_(std::move(ignored_tensors)),
        path_(vae_folder(path)),
        config_(
            ((fs::is_directory(path_) ? fs::path(path_) : fs::path(path_).parent_path()) / "config.json").string()) {
    if (!fs::exists(path_)) throw Error(ErrorCode::kNotFound, concat("the autoencoder ", path_, " does not exist"));
  }

  Config config(Component component) const override {
    if (component != Component::kVae) return source_->config(component);
    if (fs::is_directory(path_) || fs::exists(config_)) {
      auto config = Config::read_file(config_, config_);
      config.require("_class_name", {"AutoencoderKL", "AutoencoderTiny"});
      if (config.raw("_class_name") == "AutoencoderTiny") check_tiny_fits(config, source_->config(component));
      return config;
    }
    if (auto tiny = tiny_file_config(path_)) {
      check_tiny_fits(*tiny, source_->config(component));
      return std::move(*tiny);
    }
    auto own = source_->config(component);
    return has_vae(*source_) ? own : config_for_file(path_, std::move(own));
  }
  std::shared_ptr<const TensorStore> weights(Component component) const override {
    if (component != Component::kVae) return source_->weights(component);
    if (!fs::is_directory(path_)) return open_vae_file(path_, ignored_tensors_);
    return without_ignored(open_component_folder(path_, Component::kVae), ignored_tensors_);
  }

 private:
  std::vector<std::string> ignored_tensors_;
  std::string path_, config_;
};

class QuantizingSource : public ChangedSource {
 public:
  QuantizingSource(std::shared_ptr<const CheckpointSource> source, WeightQuantization quantization)
      : ChangedSource(std::move(source)), quantization_(quantization) {}

  std::shared_ptr<const TensorStore> weights(Component component) const override {
    auto store = source_->weights(component);
    const bool has_matrices = is_denoising_model(component) || is_text_encoder(component);
    return has_matrices ? quantizing(std::move(store), quantization_) : store;
  }

 private:
  WeightQuantization quantization_;
};

}  // namespace

std::shared_ptr<const CheckpointSource> with_quantization(std::shared_ptr<const CheckpointSource> source,
                                                          WeightQuantization quantization) {
  return std::make_shared<QuantizingSource>(std::move(source), quantization);
}

std::unique_ptr<TextTokenizer> CheckpointSource::text_tokenizer(Component component, TextTokenizerKind,
                                                                std::int64_t) const {
  throw Error(ErrorCode::kUnsupported, concat("a single file has no ", component_name(component),
                                              " for its text encoder; easel reads this family from folders"));
}

std::shared_ptr<const CheckpointSource> open_folder_source(const std::string& folder,
                                                           std::vector<std::string> ignored_tensors,
                                                           std::string variant) {
  return std::make_shared<FolderSource>(folder, std::move(ignored_tensors), std::move(variant));
}

void require_variant(const std::string& folder, const std::string& variant) {
  std::set<std::string> found;
  for (const auto component : {Component::kUnet, Component::kTransformer, Component::kVae, Component::kTextEncoder,
                               Component::kTextEncoder2, Component::kTextEncoder3}) {
    for (auto& name : find_variants(concat(folder, '/', component_name(component)), stem_of(component))) {
      found.insert(name.empty() ? "the plain files" : std::move(name));
    }
  }
  if (found.contains(variant)) return;
  throw Error(ErrorCode::kNotFound, concat(folder, " has no weights of the variant ", quote_name(variant), "; it has ",
                                           found.empty() ? "none" : join({found.begin(), found.end()})));
}

std::shared_ptr<const TensorStore> open_component_folder(const std::string& folder, Component component,
                                                         const std::string& variant) {
  auto store = open_component(folder, stem_of(component), variant);
  refuse_unknown_quantization(*store);
  return component == Component::kVae ? with_attention_names(std::move(store)) : store;
}

std::shared_ptr<const CheckpointSource> with_vae(std::shared_ptr<const CheckpointSource> source,
                                                 const std::string& path, std::vector<std::string> ignored_tensors) {
  return std::make_shared<VaeOverrideSource>(std::move(source), path, std::move(ignored_tensors));
}

}  // namespace easel
