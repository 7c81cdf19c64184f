// What device libraries throw, as the errors that the engine acts upon.
#include "tensor/torch_errors.h"

#include <gmock/gmock.h>

namespace easel {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const c10::SourceLocation kHere{"test", "test.cpp", 1};

template <class Thrown>
Error error_of(const Thrown& thrown) {
  try {
    with_torch_errors([&] { throw thrown; });
  } catch (const Error& error) {
    return error;
  }
  return {ErrorCode::kCancelled, "nothing was thrown"};
}

ErrorCode code_of(int accelerator_code) {
  return error_of(c10::AcceleratorError(kHere, accelerator_code, "CUDA error: something")).code();
}

ErrorCode code_of(const std::string& message) {
  return error_of(c10::Error(kHere, message)).code();
}

TEST(TorchErrors, CodesOfALostDevice) {
  for (const int code : {46, 214, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 999}) {
    EXPECT_EQ(code_of(code), ErrorCode::kDeviceLost) << code;
  }
  for (const int code : {1, 98, 209, 400, 701, 801}) EXPECT_EQ(code_of(code), ErrorCode::kInternal) << code;
  const auto lost =
      error_of(c10::AcceleratorError(kHere, 700, "CUDA error: an illegal memory access\nFor debugging ..."));
  EXPECT_THAT(lost.what(), HasSubstr("an illegal memory access (error 700)"));
  EXPECT_THAT(lost.what(), Not(HasSubstr("debugging")));
}

TEST(TorchErrors, OutOfMemoryInAllItsForms) {
  EXPECT_EQ(code_of(2), ErrorCode::kResourceExhausted);
  for (const auto* message :
       {"CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "GET was unable to find an engine to execute this computation",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "[enforce fail at alloc_cpu.cpp:127] data. DefaultCPUAllocator: not enough memory: you tried to allocate 9 "
        "bytes."}) {
    EXPECT_EQ(code_of(message), ErrorCode::kResourceExhausted) << message;
  }
  EXPECT_EQ(error_of(std::bad_alloc()).code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(code_of("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"), ErrorCode::kInternal);
}

TEST(TorchErrors, ClientsLearnHowMuchWasAskedForAndNoMore) {
  const auto error = error_of(c10::OutOfMemoryError(
      kHere,
      "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 23.64 GiB of which 1.00 GiB is "
      "free. Process 4711 has 20 GiB memory in use. See documentation for Memory Management"));
  EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(error.what(), HasSubstr("device memory is used up (tried to allocate 2.50 GiB)"));
  EXPECT_THAT(error.what(), Not(HasSubstr("4711")));
  EXPECT_THAT(error_of(c10::OutOfMemoryError(kHere, "something else")).what(), HasSubstr("device memory is used up;"));
}

TEST(TorchErrors, OtherErrorsPassUnchanged) {
  EXPECT_EQ(error_of(Error(ErrorCode::kNotFound, "x")).code(), ErrorCode::kNotFound);
  EXPECT_EQ(with_torch_errors([] { return 7; }), 7);
}

}  // namespace
}  // namespace easel
