// The table of families.
#include "pipelines/registry.h"

#include <algorithm>
#include <filesystem>

#include "checkpoints/single_file.h"
#include "core/log.h"
#include "core/text.h"
#include "pipelines/families/checked_pipeline.h"
#include "pipelines/families/instruct_pix2pix.h"
#include "pipelines/families/load_errors.h"
#include "pipelines/families/model_description.h"
#include "pipelines/families/stable_diffusion.h"
#include "pipelines/families/stable_diffusion_xl.h"
#include "pipelines/families/upscale.h"
#include "tensor/placement.h"
#include "tensor/torch_errors.h"
#include "weights/format/mapped_files.h"
#include "weights/loading/load_meter.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

std::vector<const Family*> families() {
  std::vector<const Family*> all;
  for (const auto* group : {&stable_diffusion_families(), &stable_diffusion_xl_families(), &instruct_pix2pix_families(),
                            &upscale_families()}) {
    for (const auto& family : *group) all.push_back(&family);
  }
  return all;
}

/// Families that easel knows and does not draw with.
struct UnsupportedFamily {
  const char* class_name;
  const char* why;
};
constexpr UnsupportedFamily kUnsupportedFamilies[] = {
    {"StableDiffusionDepth2ImgPipeline", "its images are guided by a depth map, and easel has no depth estimator"}};

const Family& find_family(const Checkpoint& folder) {
  for (const auto& [class_name, why] : kUnsupportedFamilies) {
    if (folder.class_name == class_name) {
      throw Error(ErrorCode::kUnsupported, concat(folder.index, ": ", class_name, " is not supported: ", why));
    }
  }
  std::vector<std::string> names;
  for (const auto* family : families()) {
    if (folder.class_name == family->class_name) return *family;
    names.emplace_back(family->class_name);
  }
  throw Error(ErrorCode::kUnsupported,
              concat(folder.index, ": `_class_name` is ", folder.class_name, "; easel supports ", join(names)));
}

void check_components(const Checkpoint& folder, const Family& family) {
  for (const auto& text : text_encoders_of(family, folder)) {
    folder.require(text.component, text.class_name);
    const auto tokenizer = folder.components.find(tokenizer_of(text.component));
    if (tokenizer == folder.components.end() || !tokenizer->second.starts_with("CLIPTokenizer")) {
      folder.require(tokenizer_of(text.component), "CLIPTokenizer");  // CLIPTokenizerFast gives the same ids
    }
  }
  folder.require(Component::kUnet, "UNet2DConditionModel");
  folder.require(Component::kVae, "AutoencoderKL");
  if (folder.components.contains(Component::kImageEncoder)) {
    throw Error(ErrorCode::kUnsupported, folder.index + ": `image_encoder` is not supported; only null is");
  }
}

/// Runs `work` on the checkpoint at `path`. What others throw at its files (file systems, torch, JSON) is an Error as
/// well, so that a checkpoint that is broken in a new way harms no other.
template <class Work>
auto with_checkpoint_errors(const std::string& path, const Work& work) {
  try {
    return with_torch_errors(work);
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kInternal) throw;
    throw Error(ErrorCode::kCorruptData, concat(path, ": ", e.what()));
  } catch (const std::exception& e) {
    throw Error(ErrorCode::kCorruptData, concat(path, ": ", e.what()));
  }
}

/// By its looks; what cannot be looked at is one, so that opening it says why.
bool is_checkpoint(const fs::directory_entry& entry) {
  const auto& path = entry.path();
  std::error_code unknown;
  if (!entry.is_regular_file(unknown)) return fs::exists(path / "model_index.json", unknown) || unknown;
  if (path.extension() == ".safetensors") return is_single_file_checkpoint(path.string());
  // A pickle is listed to be refused, unless it was converted.
  return path.extension() == ".ckpt" && !fs::exists(fs::path(path).replace_extension(".safetensors"), unknown);
}

ServedModel open(const std::string& id, const std::string& path, const PipelineOptions& options,
                 const std::string& vae) {
  const auto folder = Checkpoint::open(path, vae);
  const Family& family = find_family(folder);
  check_components(folder, family);
  const auto description = describe_model(id, folder, family, options);
  return {.description = description,
          .load = [=, family = &family](const std::string& device, const LoadProgress& progress) {
            const LoadMeter meter(description.weight_bytes, progress);
            auto files = std::make_unique<MappedFiles>();
            const FileCollector collector(*files);
            auto there = options;
            if (!device.empty()) there.placement.device = make_placement(device, "auto").device;
            if (options.offloaders) there.placement.offloader = options.offloaders->of(there.placement.device);
            if (there.placement.device.is_cpu() && !cpu_supports(there.placement.dtype)) {
              log::warning(concat(id, ": this CPU has no arithmetic for ", dtype_name(there.placement.dtype),
                                  " and takes many times longer in it than in float32; --weights-dtype stored saves ",
                                  "memory without that"));
            }
            if (folder.components.contains(Component::kSafetyChecker)) {
              log::info(concat(id, ": this checkpoint has a safety checker; easel does not run it"));
            }
            auto pipeline = with_load_errors([&] { return family->load(*family, folder, description, there); });
            return with_checks(std::move(pipeline), folder, std::move(files));
          }};
}

}  // namespace

std::vector<TextEncoderSpec> text_encoders_of(const Family& family, const Checkpoint& folder) {
  std::vector<TextEncoderSpec> present;
  for (const auto& text : family.text_encoders) {
    const bool absent = !folder.components.contains(text.component);
    if (!(text.may_be_absent && absent)) present.push_back(text);
  }
  return present;
}

ServedModel open_model(const std::string& id, const std::string& path, const PipelineOptions& options,
                       const std::string& vae) {
  return with_checkpoint_errors(path, [&] { return open(id, path, options, vae); });
}

std::string checkpoint_name(const std::string& path) {
  auto normal = fs::path(path).lexically_normal();
  if (!normal.has_filename()) normal = normal.parent_path();
  if (normal.filename() == "." || normal.filename() == "..") normal = fs::canonical(normal);
  std::error_code unknown;
  return (fs::is_regular_file(normal, unknown) ? normal.stem() : normal.filename()).string();
}

std::vector<std::string> find_checkpoints(const std::string& directory) {
  if (!fs::is_directory(directory)) {
    throw Error(ErrorCode::kNotFound, concat("models folder ", directory, " does not exist"));
  }
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (is_checkpoint(entry)) found.push_back(entry.path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace easel
