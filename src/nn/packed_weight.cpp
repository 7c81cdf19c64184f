#include "nn/packed_weight.h"

#include <ATen/Context.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <string_view>
#include <vector>

#include "nn/affine.h"
#include "nn/onednn_scratch.h"
#include "tensor/placement.h"

namespace easel {
namespace {

// Operators that libtorch's compiler calls, for which ATen has no functions.
using MaybeTensor = std::optional<at::Tensor>;
using Scalars = c10::List<std::optional<at::Scalar>>;
using Algorithm = std::optional<std::string_view>;
using LinearOperator = at::Tensor(const at::Tensor&, const at::Tensor&, const MaybeTensor&, std::string_view, Scalars,
                                  Algorithm);
using ConvolutionOperator = at::Tensor(const at::Tensor&, const at::Tensor&, const MaybeTensor&, at::IntArrayRef,
                                       at::IntArrayRef, at::IntArrayRef, std::int64_t, std::string_view, Scalars,
                                       Algorithm);
using PackLinear = at::Tensor(const at::Tensor&, std::optional<std::int64_t>);
using PackConvolution = at::Tensor(const at::Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, std::int64_t,
                                   at::OptionalIntArrayRef);

template <class Signature>
std::optional<c10::TypedOperatorHandle<Signature>> find_operator(const char* name) {
  const auto schema = c10::Dispatcher::singleton().findSchema({name, ""});
  if (!schema || !at::globalContext().userEnabledMkldnn()) return std::nullopt;
  return schema->typed<Signature>();
}

struct Operators {
  std::optional<c10::TypedOperatorHandle<LinearOperator>> linear =
      find_operator<LinearOperator>("mkldnn::_linear_pointwise");
  std::optional<c10::TypedOperatorHandle<ConvolutionOperator>> convolution =
      find_operator<ConvolutionOperator>("mkldnn::_convolution_pointwise");
  std::optional<c10::TypedOperatorHandle<PackLinear>> pack_linear =
      find_operator<PackLinear>("mkldnn::_reorder_linear_weight");
  std::optional<c10::TypedOperatorHandle<PackConvolution>> pack_convolution =
      find_operator<PackConvolution>("mkldnn::_reorder_convolution_weight");
};

const Operators& operators() {
  static const Operators found;
  return found;
}

/// Whether the layout that oneDNN chooses without knowing the input is the one that it computes with. Where it is not,
/// each call rearranges the weight again, and more slowly: with AVX2, that halves the speed of a convolution. It holds
/// for AMD's processors with AVX-512 (measured on Zen 4); others have not been measured, and keep plain weights.
bool knows_layout(c10::ScalarType dtype) {
#if defined(__x86_64__)
  return __builtin_cpu_is("amd") && onednn_uses_avx512() &&
         (dtype == at::kFloat || (dtype == at::kBFloat16 && cpu_supports(dtype)));
#else
  return false;
#endif
}

MaybeTensor optional_bias(const at::Tensor& bias) {
  return bias.defined() ? MaybeTensor(bias) : std::nullopt;
}

}  // namespace

bool packs_convolutions(c10::ScalarType dtype) {
  return knows_layout(dtype) && operators().convolution && operators().pack_convolution;
}

at::Tensor pack_linear_weight(const at::Tensor& weight) {
  const auto& pack = operators().pack_linear;
  const auto dtype = weight.scalar_type();
  if (!weight.device().is_cpu() || weight.numel() == 0 || !knows_layout(dtype) || !pack) return weight;
  if (dtype == at::kFloat && !affine_uses_onednn()) return weight;
  return pack->call(weight.contiguous(), std::nullopt);
}

at::Tensor pack_convolution_weight(const at::Tensor& weight, std::int64_t stride, std::int64_t padding) {
  if (!weight.device().is_cpu() || weight.size(2) == 1 || !packs_convolutions(weight.scalar_type())) return weight;
  const std::vector<std::int64_t> strides{stride, stride}, paddings{padding, padding}, dilations{1, 1};
  return operators().pack_convolution->call(weight, paddings, strides, dilations, /*groups=*/1, std::nullopt);
}

at::Tensor unpacked(const at::Tensor& weight) {
  return is_packed(weight) ? weight.to_dense() : weight;
}

at::Tensor onednn_linear(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias) {
  return operators().linear->call(input, weight, optional_bias(bias), "none", Scalars(), std::nullopt);
}

at::Tensor packed_convolution(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                              std::int64_t stride, std::int64_t padding) {
  const std::vector<std::int64_t> strides{stride, stride}, paddings{padding, padding}, dilations{1, 1};
  // The layout of the output follows that of the input.
  return operators().convolution->call(input.contiguous(at::MemoryFormat::ChannelsLast), weight, optional_bias(bias),
                                       paddings, strides, dilations, /*groups=*/1, "none", Scalars(), std::nullopt);
}

}  // namespace easel
