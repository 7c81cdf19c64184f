#include "tensor/torch_errors.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "core/text.h"

namespace easel {
namespace {

// Codes of cudaError_t, which c10::AcceleratorError carries.
constexpr int kOutOfMemoryCode = 2;  // cudaErrorMemoryAllocation, also of pinned memory and of kernels that are loaded

/// After these the context of the process does not work any more, whatever is tried.
constexpr std::array kLostCodes = {
    46,   // devices unavailable
    214,  // uncorrectable ECC error
    700,  // illegal address
    702,  // launch timeout
    709,  // context is destroyed
    710,  // device-side assert
    714,  // hardware stack error
    715,  // illegal instruction
    716,  // misaligned address
    717,  // invalid address space
    718,  // invalid program counter
    719,  // launch failure
    999,  // unknown
};

/// How libraries say that they found no memory for their workspaces.
constexpr std::array<std::string_view, 4> kOutOfMemoryTexts = {
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "unable to find an engine to execute this computation",
    "CUDA error: out of memory",
};

/// "Tried to allocate 2.00 GiB" of an allocator's message, whose rest has process numbers and advice on settings.
std::string asked_for(const std::string& message) {
  const auto begin = message.find("ried to allocate ");
  if (begin == std::string::npos || begin == 0) return "";
  auto end = message.find(". ", begin);
  if (end == std::string::npos) end = message.find_last_not_of(".\n") + 1;
  return "t" + message.substr(begin, end - begin);
}

/// The CPU allocator has no exception type of its own: "[enforce fail at ...] ... you tried to allocate N bytes..."
std::optional<Error> host_out_of_memory(const std::string& message) {
  const auto detail = message.find("you tried to allocate");
  if (detail == std::string::npos) return std::nullopt;
  return out_of_memory("host", message.substr(detail, message.find('.', detail) - detail));
}

}  // namespace

Error out_of_memory(const std::string& where, const std::string& detail) {
  return {ErrorCode::kResourceExhausted, concat(where, " memory is used up", detail.empty() ? "" : " (" + detail + ")",
                                                "; a smaller image needs less, and `easel models --size WIDTHxHEIGHT` ",
                                                "shows the server's operator how much")};
}

Error to_error(const c10::Error& error) {
  const std::string message = error.what_without_backtrace();
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return out_of_memory("device", asked_for(message));
  if (const auto* device = dynamic_cast<const c10::AcceleratorError*>(&error)) {
    const auto code = device->get_error_code();
    if (code == kOutOfMemoryCode) return out_of_memory("device", "");
    if (std::ranges::find(kLostCodes, code) != kLostCodes.end()) {
      // The rest of the message explains how to debug kernels.
      return {
          ErrorCode::kDeviceLost,
          concat("the device does not work any more: ", message.substr(0, message.find('\n')), " (error ", code, ")")};
    }
  }
  for (const auto text : kOutOfMemoryTexts) {
    if (message.find(text) != std::string::npos) return out_of_memory("device", "");
  }
  if (auto host = host_out_of_memory(message)) return *std::move(host);
  return {ErrorCode::kInternal, message};
}

}  // namespace easel
