// `easel convert`: safetensors from the .bin files of old checkpoint folders, and from single .ckpt files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace easel {

/// One file that convert_checkpoint wrote. Paths begin with the path as it was given.
struct ConvertedFile {
  std::string source;       ///< the .bin or .ckpt file, or for an index its .bin index
  std::string target;       ///< what was written
  std::size_t tensors = 0;  ///< in it; 0 for an index
  std::uint64_t bytes = 0;  ///< its size
};

/// Where a conversion is: `done` of `total` tensors of `source` are written.
using ConvertProgress = std::function<void(const std::string& source, std::size_t done, std::size_t total)>;

/// Of a file that torch.save wrote, NAME.ckpt, writes NAME.safetensors beside it, where there is none; its
/// `global_step`, which tells some families apart, becomes metadata. Of a folder, writes safetensors beside every .bin
/// of the checkpoint: in it and in each component folder directly below that has weights of torch.save's and no
/// safetensors. safety_checker and feature_extractor are left alone, since nothing here loads them. Names, shapes and
/// dtypes stay; shards stay shards, with an index of their own. Each file appears whole or not at all, and an index
/// after its shards, so an interrupted conversion can simply be run again. Nothing in the files is run: see
/// read_pickle. The .bin and .ckpt files stay.
///
/// @param progress  may be empty
/// @return          what was written, in order; empty when there was nothing to do
/// @throws Error(kNotFound)                   no such folder or file
/// @throws Error(kUnsupported, kCorruptData)  as TorchCheckpoint; names the file. What was written before stays
/// @throws Error(kResourceExhausted, kInternal)  cannot write
std::vector<ConvertedFile> convert_checkpoint(const std::string& path, const ConvertProgress& progress = {});

}  // namespace easel
