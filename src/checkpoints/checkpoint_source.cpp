#include "checkpoints/checkpoint_source.h"

#include <filesystem>
#include <utility>

#include "checkpoints/single_file_configs.h"
#include "core/text.h"
#include "weights/stores/component_store.h"
#include "weights/stores/key_mapping.h"
#include "weights/stores/safetensors.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

// Names of weight files without extension, in diffusers and in transformers.
constexpr char kDiffusersStem[] = "diffusion_pytorch_model";
constexpr char kTransformersStem[] = "model";

class FolderSource : public CheckpointSource {
 public:
  explicit FolderSource(std::string folder) : folder_(std::move(folder)) {}

  Config config(Component component) const override {
    const char* name = is_scheduler(component) ? "scheduler_config.json" : "config.json";
    const auto path = concat(folder_, '/', component_name(component), '/', name);
    return Config::read_file(path, path);
  }
  std::shared_ptr<const TensorStore> weights(Component component) const override {
    return open_component_folder(concat(folder_, '/', component_name(component)), component);
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
};

/// Opens a file that holds an autoencoder.
std::shared_ptr<const TensorStore> open_vae_file(const std::string& path) {
  auto file = std::make_shared<SafetensorsFile>(path);
  const NameSet names(*file);
  if (names.has_prefix("encoder.down_blocks.")) return with_attention_names(std::move(file));
  const auto prefix = find_vae(names);
  if (!prefix)
    throw Error(ErrorCode::kCorruptData, path + " does not hold an autoencoder: it has no tensor `encoder.down...`");
  return with_diffusers_names(std::move(file), original_vae_names(original_vae_layout(names, *prefix), *prefix));
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

/// The folder itself or, for a whole checkpoint, the folder of its autoencoder.
std::string vae_folder(const std::string& path) {
  const auto inner = fs::path(path) / component_name(Component::kVae);
  return fs::exists(inner / "config.json") && !fs::exists(fs::path(path) / "config.json") ? inner.string() : path;
}

class VaeOverrideSource : public CheckpointSource {
 public:
  VaeOverrideSource(std::shared_ptr<const CheckpointSource> source, const std::string& path)
      : source_(std::move(source)),
        path_(vae_folder(path)),
        config_(
            ((fs::is_directory(path_) ? fs::path(path_) : fs::path(path_).parent_path()) / "config.json").string()) {
    if (!fs::exists(path_)) throw Error(ErrorCode::kNotFound, concat("the autoencoder ", path_, " does not exist"));
  }

  Config config(Component component) const override {
    if (component != Component::kVae) return source_->config(component);
    if (fs::is_directory(path_) || fs::exists(config_)) {
      auto config = Config::read_file(config_, config_);
      config.require("_class_name", {"AutoencoderKL"});
      return config;
    }
    auto own = source_->config(component);
    return has_vae(*source_) ? own : config_for_file(path_, std::move(own));
  }
  std::shared_ptr<const TensorStore> weights(Component component) const override {
    if (component != Component::kVae) return source_->weights(component);
    return fs::is_directory(path_) ? open_component_folder(path_, Component::kVae) : open_vae_file(path_);
  }
  std::unique_ptr<Tokenizer> tokenizer(Component component) const override { return source_->tokenizer(component); }
  std::unique_ptr<TextTokenizer> text_tokenizer(Component component, TextTokenizerKind kind,
                                                std::int64_t vocab_size) const override {
    return source_->text_tokenizer(component, kind, vocab_size);
  }

 private:
  std::shared_ptr<const CheckpointSource> source_;
  std::string path_, config_;
};

}  // namespace

std::unique_ptr<TextTokenizer> CheckpointSource::text_tokenizer(Component component, TextTokenizerKind,
                                                                std::int64_t) const {
  throw Error(ErrorCode::kUnsupported, concat("a single file has no ", component_name(component),
                                              " for its text encoder; easel reads this family from folders"));
}

std::shared_ptr<const CheckpointSource> open_folder_source(const std::string& folder) {
  return std::make_shared<FolderSource>(folder);
}

std::shared_ptr<const TensorStore> open_component_folder(const std::string& folder, Component component) {
  auto store = open_component(folder, is_text_encoder(component) ? kTransformersStem : kDiffusersStem);
  return component == Component::kVae ? with_attention_names(std::move(store)) : store;
}

std::shared_ptr<const CheckpointSource> with_vae(std::shared_ptr<const CheckpointSource> source,
                                                 const std::string& path) {
  return std::make_shared<VaeOverrideSource>(std::move(source), path);
}

}  // namespace easel
