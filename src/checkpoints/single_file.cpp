#include "checkpoints/single_file.h"

#include <filesystem>
#include <utility>

#include "checkpoints/checkpoint_source.h"
#include "checkpoints/component_file.h"
#include "checkpoints/single_file_configs.h"
#include "checkpoints/single_file_family.h"
#include "checkpoints/single_file_kind.h"
#include "checkpoints/unused_tensors.h"
#include "core/text.h"
#include "weights/stores/quantization.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

/// A text encoder in a file of its own or in a checkpoint.
struct TextEncoderFile {
  std::shared_ptr<const SafetensorsFile> file;
  OriginalTextEncoder encoder;
  std::string scope;  ///< as find_text_encoder expects it
};

class SingleFileSource : public CheckpointSource {
 public:
  SingleFileSource(std::shared_ptr<const SafetensorsFile> file, const SingleFileOverrides& overrides,
                   std::vector<std::string> ignored_tensors)
      : file_(std::move(file)),
        store_(with_scales(file_)),
        names_(*file_),
        overrides_(overrides),
        ignored_tensors_(std::move(ignored_tensors)),
        family_(find_single_file_family(*file_, names_, overrides)),
        unet_(original_unet_layout(names_, kUNetPrefix)),
        vae_(find_vae(names_)) {
    check_overrides();
  }

  const SingleFileFamily& family() const { return family_; }

  /// Configs in a folder replace what follows from the file, unless the manifest states the prediction type.
  std::string prediction_source() const {
    const bool from_folder = has_configs(Component::kScheduler) && overrides_.prediction_type.empty();
    return from_folder ? overrides_.configs : family_.prediction_source;
  }

  Config config(Component component) const override {
    if (has_configs(component)) return override_config(component);
    const auto where = concat(file_->where(), " (", component_name(component), ")");
    if (const auto found = family_.schedulers.find(component); found != family_.schedulers.end()) {
      return {found->second, where};
    }
    if (component == Component::kUnet) return {unet_config_of(*file_, unet_, family_.sample_size), where};
    if (component == Component::kVae) return {vae_config(), where};
    const auto& text = text_encoder_of(component);
    if (fs::is_directory(external_path(text))) {
      return Config::read_file(external_path(text) + "/config.json", external_path(text) + "/config.json");
    }
    const auto found = text_encoder_file(text);
    return {text_config_of(*found.file, found.encoder, text.hidden_act),
            concat(found.file->where(), " (", component_name(component), ")")};
  }

  std::shared_ptr<const TensorStore> weights(Component component) const override {
    if (component == Component::kUnet) {
      return part_of(store_, {.kind = FilePart::Kind::kUnet, .prefix = kUNetPrefix},
                     original_unet_names(unet_, kUNetPrefix));
    }
    if (component == Component::kVae) {
      if (!vae_ && has_configs(component)) return open_folder_source(overrides_.configs)->weights(component);
      const auto& prefix = vae_prefix();
      return part_of(store_, {.kind = FilePart::Kind::kVae, .prefix = prefix},
                     original_vae_names(original_vae_layout(names_, prefix), prefix));
    }
    const auto& text = text_encoder_of(component);
    if (external_path(text).empty() && !own(text) && has_configs(component)) {
      return open_folder_source(overrides_.configs)->weights(component);
    }
    if (fs::is_directory(external_path(text))) return open_component_folder(external_path(text), component);
    return text_encoder_weights(text);
  }

  std::unique_ptr<Tokenizer> tokenizer(Component component) const override {
    if (has_configs(component)) return open_folder_source(overrides_.configs)->tokenizer(component);
    for (const auto& text : family_.text_encoders) {
      if (component == tokenizer_of(text.component)) return make_clip_tokenizer(text.padding);
    }
    throw no_such_component(component);
  }

 private:
  std::shared_ptr<const TensorStore> part_of(std::shared_ptr<const TensorStore> store, const FilePart& part,
                                             OriginalNames names) const {
    check_all_used(*store, part, names, ignored_tensors_);
    return with_diffusers_names(std::move(store), std::move(names));
  }

  std::shared_ptr<const TensorStore> text_encoder_weights(const SingleFileTextEncoder& text) const {
    const auto found = text_encoder_file(text);
    auto store = found.file == file_ ? store_ : with_scales(found.file);
    // The family may use fewer layers than the file has, and no projection.
    const auto whole = find_text_encoder(NameSet(*found.file), found.scope);
    check_all_used(*store, {.kind = FilePart::Kind::kTextEncoder, .prefix = found.scope}, names_of(whole.value()),
                   ignored_tensors_);
    auto names = names_of(found.encoder);
    if (text.class_name == "CLIPTextModel") names.erase("text_projection.weight");
    return with_diffusers_names(std::move(store), std::move(names));
  }

  /// What a manifest names must exist and be usable; nothing in it is ignored silently.
  void check_overrides() const {
    if (!overrides_.configs.empty() && !fs::is_directory(overrides_.configs)) {
      throw Error(ErrorCode::kNotFound,
                  concat(file_->where(), ": the folder of `configs`, ", overrides_.configs, ", does not exist"));
    }
    if (!overrides_.text_encoder.empty()) text_encoder_of(Component::kTextEncoder);
    if (!overrides_.text_encoder_2.empty()) text_encoder_of(Component::kTextEncoder2);
  }
  /// Whether the folder of configs has this component.
  bool has_configs(Component component) const {
    return !overrides_.configs.empty() && fs::is_directory(fs::path(overrides_.configs) / component_name(component));
  }

  Config override_config(Component component) const {
    auto config = open_folder_source(overrides_.configs)->config(component);
    if (component != Component::kScheduler || overrides_.prediction_type.empty()) return config;
    auto fields = config.object();
    fields["prediction_type"] = overrides_.prediction_type;
    return {fields, config.where()};
  }

  Error no_such_component(Component component) const {
    return {ErrorCode::kCorruptData,
            concat(file_->where(), ": checkpoints of its family have no `", component_name(component), "`")};
  }
  const SingleFileTextEncoder& text_encoder_of(Component component) const {
    for (const auto& text : family_.text_encoders) {
      if (component == text.component) return text;
    }
    throw no_such_component(component);
  }
  std::optional<OriginalTextEncoder> own(const SingleFileTextEncoder& text) const {
    return find_text_encoder(names_, text.scope, text.max_layers);
  }

  /// The file or folder that the manifest names to replace the file's own text encoder; may be empty.
  const std::string& external_path(const SingleFileTextEncoder& text) const {
    return text.component == Component::kTextEncoder ? overrides_.text_encoder : overrides_.text_encoder_2;
  }

  TextEncoderFile text_encoder_file(const SingleFileTextEncoder& text) const {
    if (external_path(text).empty()) {
      if (auto encoder = own(text)) return {file_, std::move(*encoder), text.scope};
      throw Error(ErrorCode::kCorruptData,
                  concat(file_->where(), " has no text encoder (no tensors `", text.scope, "...`); name one as `",
                         component_name(text.component), "` in its manifest"));
    }
    const auto file = std::make_shared<SafetensorsFile>(external_path(text));
    refuse_unknown_quantization(*file);
    const NameSet names(*file);
    for (const auto& scope : {std::string(), text.scope}) {
      if (auto encoder = find_text_encoder(names, scope, text.max_layers)) return {file, std::move(*encoder), scope};
    }
    throw Error(ErrorCode::kCorruptData, file->where() + " does not hold a text encoder");
  }

  nlohmann::json vae_config() const {
    if (!vae_) return published_vae_config(family_.vae);
    return vae_config_of(*file_, original_vae_layout(names_, *vae_), *vae_, family_.vae);
  }

  const std::string& vae_prefix() const {
    if (vae_) return *vae_;
    throw Error(ErrorCode::kCorruptData, file_->where() +
                                             " has no autoencoder (no tensors `first_stage_model...`); name one as "
                                             "`vae` in its manifest, or with --vae");
  }

  std::shared_ptr<const SafetensorsFile> file_;
  std::shared_ptr<const TensorStore> store_;  // its tensors with their scales applied
  NameSet names_;
  SingleFileOverrides overrides_;
  std::vector<std::string> ignored_tensors_;
  SingleFileFamily family_;
  OriginalUNetLayout unet_;
  std::optional<std::string> vae_;  // prefix of its names
};

}  // namespace

bool is_single_file_checkpoint(const std::string& path) {
  try {
    return find_single_file_kind(NameSet(*open_tensor_file(path))).use != SingleFileKind::Use::kComponentOnly;
  } catch (const Error&) {
    return true;
  }
}

Checkpoint open_single_file(const std::string& path, const Manifest& manifest,
                            const std::vector<std::string>& ignored_tensors) {
  const auto file = std::make_shared<SafetensorsFile>(path);
  refuse_unknown_quantization(*file);
  const auto kind = find_single_file_kind(NameSet(*file));
  if (kind.use != SingleFileKind::Use::kCheckpoint) {
    throw Error(ErrorCode::kUnsupported, concat(path, " ", kind.what));
  }
  const auto source = std::make_shared<SingleFileSource>(file, manifest.single_file, ignored_tensors);
  Checkpoint checkpoint;
  checkpoint.path = checkpoint.index = path;
  checkpoint.class_name = source->family().class_name;
  checkpoint.settings = source->family().settings;
  checkpoint.components = {{Component::kUnet, "UNet2DConditionModel"}, {Component::kVae, "AutoencoderKL"}};
  for (const auto& [component, scheduler] : source->family().schedulers) {
    checkpoint.components[component] = scheduler.at("_class_name");
  }
  for (const auto& text : source->family().text_encoders) {
    checkpoint.components[text.component] = text.class_name;
    checkpoint.components[tokenizer_of(text.component)] = "CLIPTokenizer";
  }
  const auto& configs = manifest.single_file.configs;
  if (const auto index = configs + "/model_index.json"; !configs.empty() && fs::exists(index)) {
    checkpoint.read_pipeline(Config::read_file(index, index));
  }
  checkpoint.prediction_source = source->prediction_source();
  checkpoint.manifest = manifest;
  const auto licence = file->metadata().find("modelspec.license");
  if (manifest.licence.empty() && licence != file->metadata().end()) checkpoint.manifest.licence = licence->second;
  checkpoint.source = source;
  return checkpoint;
}

}  // namespace easel
