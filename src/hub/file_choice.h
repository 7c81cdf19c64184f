// Which files of a repository a model needs.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "hub/repository.h"

namespace easel::hub {

/// Which part of a repository is wanted.
struct WantedModel {
  std::string folder = {};                ///< of the repository; empty: its root
  std::set<std::string> components = {};  ///< that model_index.json names; other folders are left out
  std::string half_variant = {};          ///< as PullOptions::half_variant
  std::vector<std::string> without = {};  ///< components whose weights are left out, because they come from elsewhere
};

/// The model_index.json of a folder.
/// @throws Error(kNotFound)  there is none; the message names folders and single files that may be pulled instead
const RemoteFile& find_model_index(const std::vector<RemoteFile>& files, const std::string& folder);

/// The files of a checkpoint in the layout of diffusers: configs, tokenizers, model card and licence, and for each
/// component one set of weights. Safetensors are preferred to pickles, and of full precision and the variants fp16 and
/// bf16 the one that suits the dtype. Left out are ONNX, Flax and TensorFlow files, the safety checker, weights without
/// EMA, sample images, and single-file copies of the model.
/// @throws Error(kNotFound)     as find_model_index; or a component has no weights that easel reads
/// @throws Error(kCorruptData)  a file of weights is empty
std::vector<RemoteFile> choose_model_files(const std::vector<RemoteFile>& files, const WantedModel& wanted);

}  // namespace easel::hub
