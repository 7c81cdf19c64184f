// Where tensors are and in which dtype.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <memory>
#include <string>

namespace easel {

class ComponentOffloader;

/// In which dtype a CPU stores the large weights: matrices and convolution kernels.
enum class WeightStorage {
  kCompute,  ///< the dtype that it computes in
  kStored,   ///< the file's dtype if that is smaller; each call converts what it uses. The results are the same
  kBlocks,   ///< for estimates only: fewer than 16 bits on any device, so that each call converts every large weight
};

/// Decided once when a model is loaded; all tensors of a call follow its weights.
struct Placement {
  c10::Device device{c10::kCPU};
  c10::ScalarType dtype = c10::kFloat;  ///< computed in
  WeightStorage storage = WeightStorage::kCompute;
  std::shared_ptr<ComponentOffloader> offloader =
      {};                              ///< lets components take turns on the device; null: all stay there
  bool release_text_encoders = false;  ///< frees them once a prompt is encoded; the next prompt loads them again
};

/// What a program can compute on.
struct Machine {
  int cuda_devices = 0;        ///< GPUs that this build can use
  bool cuda_build = false;     ///< whether libtorch is a CUDA build
  bool nvidia_driver = false;  ///< whether the kernel has NVIDIA's driver, whatever its version
};
Machine this_machine();

/// The device of a name, as for make_placement. Where "auto" is the CPU although the machine has a GPU that the build
/// is for, the log says so as an error.
/// @throws as make_placement
c10::Device choose_device(const std::string& name, const Machine& machine);

/// @param device  "auto" (the first CUDA device if there is one, else the CPU), "cpu", "cuda", "cuda:N"
/// @param dtype   "float32", "float16", "bfloat16", or "auto": float32 on a CPU, automatic_gpu_dtype() on a GPU.
///                open_model chooses for each model by its weights; see automatic_dtype
/// @throws Error(kInvalidArgument)  another name
/// @throws Error(kUnavailable)      the machine or the build has no such device; says which it has
Placement make_placement(const std::string& device, const std::string& dtype);

/// Whether GPUs may round the operands of float32 convolutions to 10 bits of mantissa (TF32). For the whole process; to
/// be called before models are loaded. libtorch's own default, and diffusers', is true.
void allow_tf32(bool allowed);

/// Whether this machine's CPU has a set of instructions, by libtorch's name: "avx512_bf16", "amx_bf16". False for a
/// name that libtorch does not know.
bool cpu_has(const char* instructions);

/// Whether this machine's CPU has instructions for a dtype. Without them libtorch still computes in it, but many times
/// slower than in float32 and with far more memory.
bool cpu_supports(c10::ScalarType dtype);

/// Whether this machine's CPU has instructions that multiply bfloat16 matrices (AVX512-BF16 or AMX), with which it is
/// faster in bfloat16 than in float32. cpu_supports is also true for CPUs that convert to float32 first.
bool cpu_multiplies_bfloat16();

/// "float32", "float16" or "bfloat16"; torch's own name for any other dtype
std::string dtype_name(c10::ScalarType dtype);

}  // namespace easel
