// Copies to a device that run while the device computes.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <vector>

namespace easel {

/// A stream of its own on a GPU. Used by one thread at a time.
class CopyStream {
 public:
  /// @param device  a GPU
  explicit CopyStream(c10::Device device);

  /// Enqueues copies of tensors in host memory, by way of pinned memory, and returns at once. What is enqueued on the
  /// device may use them after join().
  std::vector<at::Tensor> copy(const std::vector<at::Tensor>& host);

  /// Lets everything that is enqueued on the device from now on wait for the copies, and keeps their memory until that
  /// is done, even if they are released before.
  void join(const std::vector<at::Tensor>& copies);

 private:
  c10::Device device_;
  c10::Stream stream_;
};

}  // namespace easel
