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
  std::string target;       ///< the file that was written
  std::size_t tensors = 0;  ///< number of tensors in it; 0 for an index
  std::uint64_t bytes = 0;  ///< its size
};

/// Receives the progress of a conversion: `done` of `total` tensors of `source` have been written.
using ConvertProgress = std::function<void(const std::string& source, std::size_t done, std::size_t total)>;

/// Converts files that torch.save wrote to safetensors.
///
/// For a file, NAME.ckpt, writes NAME.safetensors next to it unless that exists; its `global_step`, which distinguishes
/// some families, becomes metadata. For a folder, writes safetensors next to every .bin file of the checkpoint: in the
/// folder itself and in each component folder directly below it that has .bin weights and no safetensors.
/// safety_checker and feature_extractor are skipped, since easel does not load them. Names, shapes and dtypes stay the
/// same; shards stay shards and get an index of their own. Each file appears complete or not at all, and an index after
/// its shards, so an interrupted conversion can simply be run again. No code in the files is run: see read_pickle. The
/// .bin and .ckpt files are kept.
///
/// @param progress  may be empty
/// @return          the files that were written, in order; empty if there was nothing to do
/// @throws Error(kNotFound)                   no such folder or file
/// @throws Error(kUnsupported, kCorruptData)  as TorchCheckpoint; names the file. Files written before it are kept
/// @throws Error(kResourceExhausted, kInternal)  a file cannot be written
std::vector<ConvertedFile> convert_checkpoint(const std::string& path, const ConvertProgress& progress = {});

}  // namespace easel
