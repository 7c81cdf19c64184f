// Copies weights to a device while the device works for others.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <array>
#include <cstdint>
#include <optional>

namespace easel {

/// Copies tensors of any size from any host memory to a device, through two pinned buffers and on a stream of its own:
/// neither do the copies wait for work on other streams, nor does that work wait for them. A plain copy from memory
/// that is not pinned waits until the stream that all threads begin with has nothing left to do.
///
/// Use: the thread makes stream() its current stream while it loads a model, so that what the model computes when it is
/// built also runs there; finish() before another thread uses the tensors. Memory that was allocated meanwhile belongs
/// to that stream, and may be freed once no other stream uses it any more: a model is destroyed when all its work has
/// been waited for. Used by one thread.
class StagedUpload {
 public:
  /// @param device  not a CPU
  explicit StagedUpload(c10::Device device);
  /// Waits for the copies, since they read the buffers.
  ~StagedUpload();
  StagedUpload(const StagedUpload&) = delete;
  StagedUpload& operator=(const StagedUpload&) = delete;

  c10::Stream stream() const { return stream_; }

  /// Like host.to(device, dtype). The tensor is copied as it is stored and converted on the device. When this returns,
  /// `host` has been read. stream() must be current.
  /// @param host    on the CPU
  /// @param format  of the result; none: as `host`
  at::Tensor copy(const at::Tensor& host, c10::ScalarType dtype, std::optional<at::MemoryFormat> format);

  /// Blocks until all tensors are complete. @throws c10::Error  the device failed
  void finish();

 private:
  struct Buffer {
    at::Tensor bytes;                     ///< uint8, pinned; undefined before its first use
    std::optional<c10::Event> free_at{};  ///< when its latest copy is done
  };
  void copy_part(const void* from, const at::Tensor& to);

  c10::Device device_;
  c10::Stream stream_;
  std::array<Buffer, 2> buffers_;
  std::size_t next_ = 0;
};

}  // namespace easel
