// What goes with a load of weights: its progress, the files that it opens, and how it copies to a device.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "tensor/staged_upload.h"
#include "weights/format/mapped_files.h"

namespace easel {

/// How far the loading of a model is, in bytes of weights that models have taken. Used by one thread at a time.
class LoadMeter {
 public:
  /// @param total_bytes  size of the model's files; if it is too small, the progress reaches 1 too early
  /// @param progress     receives the part that is done, 0 to 1; may be empty
  LoadMeter(std::int64_t total_bytes, std::function<void(double)> progress)
      : total_bytes_(std::max<std::int64_t>(total_bytes, 1)), progress_(std::move(progress)) {}

  /// A tensor of this many stored bytes was taken.
  void add(std::int64_t bytes) {
    bytes_ += bytes;
    if (progress_) progress_(std::min(static_cast<double>(bytes_) / static_cast<double>(total_bytes_), 1.0));
  }

 private:
  std::int64_t total_bytes_;
  std::function<void(double)> progress_;
  std::int64_t bytes_ = 0;
};

/// Passed to Weights along with the Placement. Cheap to copy; by default nobody follows.
struct LoadContext {
  std::shared_ptr<LoadMeter> meter = {};    ///< counts the tensors taken; null: nobody asks
  std::shared_ptr<MappedFiles> files = {};  ///< gets the files that weights are views of; null: nobody asks
  /// Copies weights to the placement's device; its stream is the loading thread's current one. Null on a CPU, and where
  /// the thread that computes loads the weights itself.
  std::shared_ptr<StagedUpload> upload = {};

  /// For weights that are loaded again later by another thread: their files count, their progress does not.
  LoadContext without_meter() const { return {.files = files}; }
};

}  // namespace easel
