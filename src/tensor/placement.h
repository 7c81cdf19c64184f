// Where tensors live and how they are kept: device and dtype, by name.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <memory>
#include <string>

namespace easel {

class ComponentOffloader;

/// In which dtype a CPU keeps the large weights: matrices and convolution kernels.
enum class WeightStorage {
  kCompute,  ///< the one it computes in
  kStored,   ///< the file's where that is smaller; each call converts what it uses. The numbers are the same
};

/// Decided once when a model is loaded; everything else follows the weights.
struct Placement {
  c10::Device device{c10::kCPU};
  c10::ScalarType dtype = c10::kFloat;  ///< computed in
  WeightStorage storage = WeightStorage::kCompute;
  std::shared_ptr<ComponentOffloader> offloader = {};  ///< models take turns on the device; null: all stay there
  bool release_text_encoders = false;  ///< from memory once a prompt is encoded; the next one reads them again
};

/// @param device  "auto" (the first CUDA device if there is one, else the CPU), "cpu", "cuda", "cuda:N"
/// @param dtype   "auto" (float32 on a CPU, float16 on a GPU), "float32", "float16", "bfloat16"
/// @throws Error(kInvalidArgument)  another name
/// @throws Error(kUnavailable)      no such device here; says what there is
Placement make_placement(const std::string& device, const std::string& dtype);

/// Whether this machine's CPU has arithmetic for a dtype. Without it libtorch computes all the same, many times slower
/// than in float32 and with far more memory.
bool cpu_supports(c10::ScalarType dtype);

/// "float32", ... ; torch's own name for anything else
std::string dtype_name(c10::ScalarType dtype);

}  // namespace easel
