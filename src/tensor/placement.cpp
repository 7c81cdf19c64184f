#include "tensor/placement.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/cpu/Utils.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <charconv>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

int cuda_devices() {
  return at::hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0;
}

c10::Device parse_device(const std::string& name) {
  const int count = name == "cpu" ? 0 : cuda_devices();
  if (name == "cpu" || (name == "auto" && count == 0)) return c10::Device(c10::kCPU);
  if (name == "auto") return c10::Device(c10::kCUDA, 0);
  int index = 0;
  const bool numbered = name.starts_with("cuda:");
  const char* end = name.data() + name.size();
  if (name != "cuda" && (!numbered || std::from_chars(name.data() + 5, end, index).ptr != end || name.size() == 5)) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("device `", name, "` is unknown; expected auto, cpu, cuda or cuda:N"));
  }
  if (index < 0 || index >= count) {
    // hasCUDA() is also false if there is no GPU; this only tells whether the CUDA runtime is linked in.
    const bool has_cuda_build = at::detail::getCUDAHooks().hasCUDART();
    throw Error(
        ErrorCode::kUnavailable,
        concat("device `", name, "` is not available: ",
               !has_cuda_build ? std::string("this build's libtorch has no CUDA; see README on the CUDA build")
               : count == 0    ? std::string("no NVIDIA GPU can be used; is its driver installed, and recent enough?")
                               : concat(count, " CUDA devices are visible to this build")));
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

}  // namespace

Placement make_placement(const std::string& device, const std::string& dtype) {
  Placement placement;
  placement.device = parse_device(device);
  if (dtype == "auto") {
    placement.dtype = placement.device.is_cpu() ? c10::kFloat : c10::kHalf;
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

bool cpu_supports(c10::ScalarType dtype) {
  const char* asks = dtype == c10::kHalf       ? "mkldnn::_is_mkldnn_fp16_supported"
                     : dtype == c10::kBFloat16 ? "mkldnn::_is_mkldnn_bf16_supported"
                                               : nullptr;
  if (asks == nullptr) return true;
  const auto op = c10::Dispatcher::singleton().findSchema({asks, ""});
  return op && op->typed<bool()>().call();
}

bool cpu_multiplies_bfloat16() {
  if (!cpu_supports(c10::kBFloat16)) return false;
  const auto capabilities = at::cpu::get_cpu_capabilities();
  const auto has = [&](const char* name) {
    const auto found = capabilities.find(name);
    return found != capabilities.end() && found->second.isBool() && found->second.toBool();
  };
  return has("avx512_bf16") || has("amx_bf16");
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
