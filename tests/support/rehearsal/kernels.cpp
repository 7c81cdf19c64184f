// The rehearsal device's kernels: libtorch's CPU kernels, on tensors that share the device's memory.
#include "support/rehearsal/kernels.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_local_scalar_dense.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/view_native.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/InferenceMode.h>
#include <torch/library.h>

#include <cstring>
#include <vector>

#include "support/rehearsal/runtime.h"

namespace easel::testing::rehearsal {
namespace {

constexpr std::size_t kStagedBytes = 64 << 10;  // CUDA copies so much from any memory without waiting

Block& block_of(const at::Tensor& tensor) {
  return **static_cast<std::shared_ptr<Block>*>(tensor.storage().data_ptr().get_context());
}

/// A CPU tensor that shares the memory.
at::Tensor on_host(const at::Tensor& tensor) {
  auto* const memory =
      block_of(tensor).memory.get() + tensor.storage_offset() * static_cast<std::int64_t>(tensor.itemsize());
  return at::from_blob(memory, tensor.sizes(), tensor.strides(), at::TensorOptions().dtype(tensor.scalar_type()));
}

at::Tensor empty_on(int device, const at::Tensor& like) {
  const c10::Device there(c10::kPrivateUse1, static_cast<c10::DeviceIndex>(device));
  return at::empty_strided(like.sizes(), like.strides(), like.options().device(there).pinned_memory(false));
}

const at::Tensor& resize(const at::Tensor& self, at::IntArrayRef size, std::optional<at::MemoryFormat> format) {
  if (self.sizes() != size) {
    auto* const impl = self.unsafeGetTensorImpl();
    impl->set_sizes_contiguous(size);
    const auto bytes = static_cast<std::size_t>(impl->numel() + impl->storage_offset()) * impl->itemsize();
    if (bytes > self.storage().nbytes()) {
      const c10::DeviceGuard guard(self.device());
      auto* const storage = self.storage().unsafeGetStorageImpl();
      storage->set_data_ptr_noswap(c10::GetAllocator(c10::kPrivateUse1)->allocate(bytes));
      storage->set_nbytes(bytes);
    }
    if (format && self.dim() == 4) impl->empty_tensor_restride(*format);
  }
  return self;  // as the operator's signature has it. NOLINT(bugprone-return-const-ref-from-parameter)
}

/// One call of an operator.
class Call {
 public:
  explicit Call(const c10::OperatorHandle& op) : op_(op), lock_(Runtime::get().lock()) {}

  /// The argument as the CPU's kernel takes it.
  c10::IValue to_host(const c10::IValue& value, bool written) {
    if (value.isTensor()) return to_host(value.toTensor(), written);
    if (value.isTensorList()) {
      std::vector<at::Tensor> tensors;
      for (const auto& tensor : value.toTensorVector()) tensors.push_back(to_host(tensor, written));
      return tensors;
    }
    if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> tensors;
      for (const auto& tensor : value.toOptionalTensorVector()) {
        tensors.push_back(tensor ? std::optional(to_host(*tensor, written)) : std::nullopt);
      }
      return tensors;
    }
    if (value.isDevice() && value.toDevice().is_privateuseone()) {
      use_device(value.toDevice().index());
      return c10::Device(c10::kCPU);
    }
    return value;
  }

  /// The kernel is about to run.
  void begin() {
    TORCH_CHECK(device_ >= 0, "rehearsal: ", op_.schema(), " has no tensor of the device");
    TORCH_CHECK(!saw_host_tensor_, "rehearsal: ", op_.schema().name(), " of tensors on the device and on the CPU");
    TORCH_CHECK(Runtime::current_device() == device_, "rehearsal: ", op_.schema().name(), " of tensors on device ",
                device_, " while the current device is ", Runtime::current_device());
    auto& runtime = Runtime::get();
    const auto stream = runtime.begin_operation(device_);
    for (const auto& use : uses_) {
      if (use.written) {
        runtime.write(block_of(use.tensor), stream);
      } else {
        runtime.read(block_of(use.tensor), stream);
      }
    }
  }

  c10::IValue to_device(const c10::IValue& value) {
    if (value.isTensor()) return to_device(value.toTensor());
    if (!value.isTensorList()) return value;
    std::vector<at::Tensor> tensors;
    for (const auto& tensor : value.toTensorVector()) tensors.push_back(to_device(tensor));
    return tensors;
  }

 private:
  struct Use {
    at::Tensor tensor, host;
    bool written;
  };

  void use_device(int index) {
    TORCH_CHECK(device_ < 0 || device_ == index, "rehearsal: ", op_.schema().name(), " of tensors on two devices");
    device_ = index;
  }

  at::Tensor to_host(const at::Tensor& tensor, bool written) {
    if (!tensor.defined()) return tensor;
    if (!tensor.is_privateuseone()) {
      saw_host_tensor_ = saw_host_tensor_ || tensor.dim() > 0;
      return tensor;
    }
    use_device(tensor.device().index());
    // An empty tensor is there to be resized by the kernel.
    const bool resized = written && tensor.numel() == 0;
    uses_.push_back({tensor, resized ? at::empty({0}, tensor.options().device(at::kCPU)) : on_host(tensor), written});
    return uses_.back().host;
  }

  at::Tensor to_device(const at::Tensor& result) {
    if (!result.defined()) return result;
    for (const auto& use : uses_) {
      if (result.is_same(use.host)) {
        if (use.written && use.tensor.numel() == 0) adopt(use.tensor, result);
        return use.tensor;
      }
      if (result.numel() == 0 || !result.is_alias_of(use.host)) continue;
      return at::as_strided(use.tensor, result.sizes(), result.strides(),
                            use.tensor.storage_offset() + result.storage_offset());
    }
    const auto dense = result.is_non_overlapping_and_dense() ? result : result.contiguous();
    auto placed = empty_on(device_, dense);
    on_host(placed).copy_(dense);
    Runtime::get().write(block_of(placed), Runtime::current_stream(device_));
    return placed;
  }

  /// Makes an empty tensor what the kernel has resized it to.
  static void adopt(const at::Tensor& tensor, const at::Tensor& result) {
    resize(tensor, result.sizes(), std::nullopt);
    tensor.unsafeGetTensorImpl()->set_sizes_and_strides(result.sizes(), result.strides());
    if (result.numel() > 0) on_host(tensor).copy_(result);
  }

  const c10::OperatorHandle& op_;
  const std::unique_lock<std::recursive_mutex> lock_;
  std::vector<Use> uses_;
  int device_ = -1;
  bool saw_host_tensor_ = false;
};

at::Tensor empty_memory_format(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                               std::optional<at::Device> device, std::optional<bool>,
                               std::optional<at::MemoryFormat> format) {
  const c10::OptionalDeviceGuard guard(device);
  return at::detail::empty_generic(size, c10::GetAllocator(c10::kPrivateUse1),
                                   c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), dtype.value_or(at::kFloat),
                                   format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<at::Device> device, std::optional<bool>) {
  const c10::OptionalDeviceGuard guard(device);
  return at::detail::empty_strided_generic(size, stride, c10::GetAllocator(c10::kPrivateUse1),
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           dtype.value_or(at::kFloat));
}

/// From the device to the host. To pinned memory it is done when somebody waits; until then the memory holds nonsense.
void download(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  auto& runtime = Runtime::get();
  const auto stream = runtime.begin_operation(from.device().index());
  runtime.read(block_of(from), stream);
  if (!non_blocking || !runtime.is_pinned(to.storage().data())) {
    runtime.synchronize(stream);
    to.copy_(on_host(from));
    return;
  }
  const auto snapshot = on_host(from).clone();
  // Flags would be taken for true otherwise.
  std::memset(to.mutable_data_ptr(), to.scalar_type() == at::kBool ? 0 : 0xA5, to.nbytes());
  runtime.enqueue_copy(stream, /*to_device=*/false, [snapshot, to] {
    const c10::InferenceMode inference;
    to.copy_(snapshot);
  });
}

/// From the host to the device. Pinned memory is read when the device uses the result, or when somebody waits.
void upload(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  auto& runtime = Runtime::get();
  const auto stream = runtime.begin_operation(to.device().index());
  runtime.write(block_of(to), stream);
  const auto target = on_host(to);
  if (non_blocking && runtime.is_pinned(from.storage().data())) {
    runtime.enqueue_copy(stream, /*to_device=*/true, [from, target, to] {
      const c10::InferenceMode inference;
      target.copy_(from);
    });
    return;
  }
  if (!non_blocking || from.nbytes() > kStagedBytes) runtime.synchronize(stream);
  target.copy_(from);
}

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& dst, bool non_blocking) {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  if (self.numel() == 0 && dst.numel() == 0) return dst;
  const auto source = self.expand_as(dst);
  if (!self.is_privateuseone()) {
    upload(source, dst, non_blocking);
  } else if (!dst.is_privateuseone()) {
    download(source, dst, non_blocking);
  } else {
    TORCH_CHECK(self.device() == dst.device(), "rehearsal: a copy between two devices");
    TORCH_CHECK(Runtime::current_device() == self.device().index(), "rehearsal: a copy on device ",
                self.device().index(), " while the current device is ", Runtime::current_device());
    const auto stream = runtime.begin_operation(dst.device().index());
    runtime.read(block_of(self), stream);
    runtime.write(block_of(dst), stream);
    on_host(dst).copy_(on_host(source));
  }
  return dst;
}

at::Scalar local_scalar_dense(const at::Tensor& self) {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  const auto stream = runtime.begin_operation(self.device().index());
  runtime.read(block_of(self), stream);
  runtime.synchronize(stream);
  return at::_local_scalar_dense(on_host(self));
}

void record_stream(at::Tensor& self, c10::Stream stream) {
  const auto lock = Runtime::get().lock();
  block_of(self).recorded[static_cast<std::size_t>(stream.device_index() * kStreamsPerDevice + stream.id())] = true;
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const auto count = schema.arguments().size();
  const std::vector<c10::IValue> arguments(stack->end() - static_cast<std::ptrdiff_t>(count), stack->end());
  Call call(op);
  torch::jit::drop(stack, count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto* const alias = schema.arguments()[i].alias_info();
    torch::jit::push(stack, call.to_host(arguments[i], alias != nullptr && alias->isWrite()));
  }
  call.begin();
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  for (auto result = stack->end() - static_cast<std::ptrdiff_t>(schema.returns().size()); result != stack->end();
       ++result) {
    *result = call.to_device(*result);
  }
}

}  // namespace

void register_kernels() {
  static auto* all = new torch::Library(torch::Library::IMPL, "_", c10::DispatchKey::PrivateUse1, __FILE__, __LINE__);
  all->fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
  static auto* aten =
      new torch::Library(torch::Library::IMPL, "aten", c10::DispatchKey::PrivateUse1, __FILE__, __LINE__);
  aten->impl("empty.memory_format", &empty_memory_format);
  aten->impl("empty_strided", &empty_strided);
  aten->impl("resize_", &resize);
  aten->impl("as_strided", &at::native::as_strided_tensorimpl);
  aten->impl("view", &at::native::view);
  aten->impl("_reshape_alias", &at::native::_reshape_alias);
  aten->impl("record_stream", &record_stream);
  aten->impl("_copy_from", &copy_from);
  aten->impl("_local_scalar_dense", &local_scalar_dense);
  // libtorch would take these apart, differently than on a CPU or a GPU, before they reach the fallback.
  for (const char* whole : {"convolution", "native_group_norm", "native_layer_norm", "scaled_dot_product_attention"}) {
    aten->impl(whole, torch::CppFunction::makeFromBoxedFunction<&fallback>());
  }
}

}  // namespace easel::testing::rehearsal
