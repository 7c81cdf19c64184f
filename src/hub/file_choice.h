// Which files of a repository a model needs.
#pragma once

#include <string>
#include <vector>

#include "hub/repository.h"

namespace easel::hub {

/// The files of a checkpoint in the layout of diffusers: configs, tokenizers, model card and licence, and for each
/// component one set of weights. Safetensors are preferred to pickles, and of the variants fp16 and full precision the
/// one that suits the dtype. Left out are ONNX, Flax and TensorFlow files, the safety checker, weights without EMA,
/// sample images, and single-file copies of the model.
/// @param files        their paths are taken relative to `folder`
/// @param folder       of the repository; empty: its root
/// @param prefer_half  the model will run in float16 or bfloat16
/// @param without      components whose weights are left out, because they come from elsewhere
/// @throws Error(kNotFound)  there is no model_index.json; the message names single files that may be pulled instead
std::vector<RemoteFile> choose_model_files(const std::vector<RemoteFile>& files, const std::string& folder,
                                           bool prefer_half, const std::vector<std::string>& without = {});

}  // namespace easel::hub
