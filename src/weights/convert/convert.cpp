#include "weights/convert/convert.h"

#include <c10/util/accumulate.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "core/text.h"
#include "easel/error.h"
#include "weights/convert/safetensors_writer.h"
#include "weights/format/atomic_file.h"
#include "weights/format/message_format.h"
#include "weights/stores/component_files.h"
#include "weights/stores/sharded_store.h"
#include "weights/stores/torch_checkpoint.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

constexpr std::array kStems = {"diffusion_pytorch_model", "model"};
constexpr std::array kVariants = {"", kHalfVariants[0], kHalfVariants[1]};
constexpr std::array kSkippedFolders = {"safety_checker", "feature_extractor"};

/// The checkpoint folder and the component folders in it, sorted.
std::vector<std::string> folders_to_visit(const std::string& folder) {
  std::vector<std::string> folders;
  for (const auto& item : fs::directory_iterator(folder)) {
    const auto name = item.path().filename().string();
    if (item.is_directory() && std::ranges::find(kSkippedFolders, name) == kSkippedFolders.end()) {
      folders.push_back(item.path().string());
    }
  }
  std::ranges::sort(folders);
  folders.insert(folders.begin(), folder);
  return folders;
}

bool has_safetensors(const std::string& folder, const std::string& stem) {
  return std::ranges::any_of(kVariants, [&](const char* variant) {
    return find_component_file(folder, safetensors_files(stem, variant)).has_value();
  });
}

/// "pytorch_model-00001-of-00002.bin" to "model-00001-of-00002.safetensors"
std::string target_name(const std::string& source, const ComponentFiles& from, const ComponentFiles& to) {
  constexpr std::string_view kEnding = ".bin";
  std::string middle = source.substr(0, source.size() - kEnding.size());
  if (middle.starts_with(from.shard_prefix)) middle = to.shard_prefix + middle.substr(from.shard_prefix.size());
  return middle + ".safetensors";
}

class FolderConversion {
 public:
  FolderConversion(std::string folder, const ConvertProgress& progress, std::vector<ConvertedFile>& written)
      : folder_(std::move(folder)), progress_(progress), written_(written) {}

  void convert(const std::string& stem, const std::string& variant) {
    const auto from = torch_bin_files(stem, variant);
    const auto to = safetensors_files(stem, variant);
    const auto found = find_component_file(folder_, from);
    if (found == from.single) convert_file(from.single, to.single);
    if (found == from.index) convert_shards(from, to);
  }

 private:
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  /// @return  the names of its tensors
  std::vector<std::string> convert_file(const std::string& source, const std::string& target) {
    const TorchCheckpoint checkpoint(path(source));
    const auto names = checkpoint.names();
    const auto report = [&](std::size_t done) {
      if (progress_) progress_(path(source), done, names.size());
    };
    const auto bytes = write_safetensors(path(target), checkpoint, {{"format", "pt"}}, report);
    written_.push_back({path(source), path(target), names.size(), bytes});
    for (const auto& name : names) {
      const auto& info = *checkpoint.find(name);
      tensor_bytes_ += c10::elementSize(info.dtype) * static_cast<std::uint64_t>(c10::multiply_integers(info.shape));
    }
    return names;
  }

  void convert_shards(const ComponentFiles& from, const ComponentFiles& to) {
    const auto index = read_shard_index(path(from.index), ".bin");
    std::map<std::string, std::string> weight_map;
    tensor_bytes_ = 0;
    for (const auto& shard : index.shards) {
      const std::string target = target_name(shard, from, to);
      for (const auto& name : convert_file(shard, target)) {
        const auto mapped = index.weight_map.find(name);
        if (mapped == index.weight_map.end() || mapped->second != shard) {
          throw Error(ErrorCode::kCorruptData,
                      concat(path(from.index), ": tensor ", quote_name(name), " of ", shard, " is not in the index"));
        }
        weight_map[name] = target;
      }
    }
    for (const auto& [name, shard] : index.weight_map) {
      if (weight_map.contains(name)) continue;
      throw Error(ErrorCode::kCorruptData,
                  concat(path(from.index), ": tensor ", quote_name(name), " is not in ", shard, " as it says"));
    }
    const nlohmann::json written{{"metadata", {{"total_size", tensor_bytes_}}}, {"weight_map", weight_map}};
    const std::string text = written.dump(2) + "\n";
    AtomicFile file(path(to.index));
    file.write(text);
    file.commit();
    written_.push_back({path(from.index), path(to.index), 0, text.size()});
  }

  std::string folder_;
  const ConvertProgress& progress_;
  std::vector<ConvertedFile>& written_;
  std::uint64_t tensor_bytes_ = 0;  // of all files so far
};

/// Writes "model.safetensors" next to "model.ckpt" unless it exists.
std::vector<ConvertedFile> convert_single_file(const std::string& source, const ConvertProgress& progress) {
  const auto target = fs::path(source).replace_extension(".safetensors").string();
  if (target == source || fs::exists(target)) return {};
  const TorchCheckpoint checkpoint(source);
  const auto total = checkpoint.names().size();
  const auto report = [&](std::size_t done) {
    if (progress) progress(source, done, total);
  };
  SafetensorsMetadata metadata{{"format", "pt"}};
  if (const auto step = checkpoint.global_step()) metadata["global_step"] = std::to_string(*step);
  const auto bytes = write_safetensors(target, checkpoint, metadata, report);
  return {{source, target, total, bytes}};
}

}  // namespace

std::vector<ConvertedFile> convert_checkpoint(const std::string& path, const ConvertProgress& progress) {
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) return convert_single_file(path, progress);
  if (!fs::is_directory(path, ignored)) throw Error(ErrorCode::kNotFound, concat("folder ", path, " is missing"));
  std::vector<ConvertedFile> written;
  for (const auto& component : folders_to_visit(path)) {
    for (const auto* stem : kStems) {
      if (has_safetensors(component, stem)) continue;
      for (const auto* variant : kVariants) FolderConversion(component, progress, written).convert(stem, variant);
    }
  }
  return written;
}

}  // namespace easel
