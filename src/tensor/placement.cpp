#include "tensor/placement.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/cpu/Utils.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/DeviceType.h>

#include <charconv>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include "core/log.h"
#include "core/text.h"
#include "easel/error.h"
#include "tensor/compute_capability.h"

namespace easel {
namespace {

/// The device that a test program registers in place of a GPU. No other program has one.
std::optional<c10::Device> registered_device(const std::string& name) {
  if (!c10::is_privateuse1_backend_registered()) return std::nullopt;
  const auto type = c10::get_privateuse1_backend();
  if (name != type && !name.starts_with(type + ":")) return std::nullopt;
  const c10::Device device(name);
  return device.has_index() ? device : c10::Device(device.type(), 0);
}

Error no_such_device(const std::string& name, const Machine& machine) {
  return {ErrorCode::kUnavailable,
          concat("device `", name, "` is not available: ",
                 !machine.cuda_build ? std::string("this build's libtorch has no CUDA; see README on the CUDA build")
                 : machine.cuda_devices == 0
                     ? std::string("no NVIDIA GPU can be used; is its driver installed, and recent enough?")
                     : concat(machine.cuda_devices, " CUDA devices are visible to this build"))};
}

/// The N of "cuda:N"; 0 for "cuda"; none for other names.
std::optional<int> cuda_index(const std::string& name) {
  if (name == "cuda") return 0;
  constexpr std::string_view kPrefix = "cuda:";
  if (!name.starts_with(kPrefix) || name.size() == kPrefix.size()) return std::nullopt;
  int index = 0;
  const char* end = name.data() + name.size();
  return std::from_chars(name.data() + kPrefix.size(), end, index).ptr == end ? std::optional(index) : std::nullopt;
}

}  // namespace

Machine this_machine() {
  const auto& cuda = at::detail::getCUDAHooks();
  std::error_code unknown;
  // hasCUDA() is also false if there is no GPU; hasCUDART() only tells whether the CUDA runtime is linked in.
  return {.cuda_devices = at::hasCUDA() ? cuda.deviceCount() : 0,
          .cuda_build = cuda.hasCUDART(),
          .nvidia_driver = std::filesystem::exists("/proc/driver/nvidia/version", unknown)};
}

c10::Device choose_device(const std::string& name, const Machine& machine) {
  if (name == "cpu") return c10::Device(c10::kCPU);
  if (const auto device = registered_device(name)) return *device;
  if (name == "auto") {
    if (machine.cuda_devices > 0) return c10::Device(c10::kCUDA, 0);
    if (machine.cuda_build && machine.nvidia_driver) {
      log::error(
          "the CPU is used, which is about a hundred times slower: this machine has NVIDIA's driver, but no GPU that "
          "this build of libtorch can use; docs/guide/gpu.md says which drivers and GPUs it needs, and --device cpu "
          "says that the CPU is meant");
    }
    return c10::Device(c10::kCPU);
  }
  const auto index = cuda_index(name);
  if (!index) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("device `", name, "` is unknown; expected auto, cpu, cuda or cuda:N"));
  }
  if (*index < 0 || *index >= machine.cuda_devices) throw no_such_device(name, machine);
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(*index));
}

Placement make_placement(const std::string& device, const std::string& dtype) {
  Placement placement;
  placement.device = device == "cpu" ? c10::Device(c10::kCPU) : choose_device(device, this_machine());
  if (dtype == "auto") {
    placement.dtype =
        placement.device.is_cpu() ? c10::kFloat : automatic_gpu_dtype(compute_capability(placement.device));
  } else if (dtype == "float32") {
    placement.dtype = c10::kFloat;
  } else if (dtype == "float16") {
    placement.dtype = c10::kHalf;
  } else if (dtype == "bfloat16") {
    placement.dtype = c10::kBFloat16;
  } else {
    throw Error(ErrorCode::kInvalidArgument,
                concat("dtype `", dtype, "` is unknown; expected auto, float32, float16 or bfloat16"));
  }
  return placement;
}

void allow_tf32(bool allowed) {
  at::globalContext().setAllowTF32CuDNN(allowed);
}

bool cpu_supports(c10::ScalarType dtype) {
  const char* asks = dtype == c10::kHalf       ? "mkldnn::_is_mkldnn_fp16_supported"
                     : dtype == c10::kBFloat16 ? "mkldnn::_is_mkldnn_bf16_supported"
                                               : nullptr;
  if (asks == nullptr) return true;
  const auto op = c10::Dispatcher::singleton().findSchema({asks, ""});
  return op && op->typed<bool()>().call();
}

bool cpu_has(const char* instructions) {
  const auto capabilities = at::cpu::get_cpu_capabilities();
  const auto found = capabilities.find(instructions);
  return found != capabilities.end() && found->second.isBool() && found->second.toBool();
}

bool cpu_multiplies_bfloat16() {
  return cpu_supports(c10::kBFloat16) && (cpu_has("avx512_bf16") || cpu_has("amx_bf16"));
}

std::string dtype_name(c10::ScalarType dtype) {
  switch (dtype) {
    case c10::kFloat:
      return "float32";
    case c10::kHalf:
      return "float16";
    case c10::kBFloat16:
      return "bfloat16";
    default:
      return c10::toString(dtype);
  }
}

}  // namespace easel
