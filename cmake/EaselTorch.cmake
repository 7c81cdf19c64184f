# easel::torch over a libtorch folder, CPU or CUDA, wheel or zip. Installed as a part of easel's CMake package.
#
# The wheel's own CMake package insists on a CUDA toolkit; linking the libraries directly needs none.
if(NOT EASEL_LIBTORCH)
  message(FATAL_ERROR "EASEL_LIBTORCH is not set. scripts/run and scripts/test install libtorch and set it; "
    "or point it at an unpacked libtorch, or at the torch/ folder of an installed wheel.")
endif()
foreach(needed include/ATen/core/Tensor.h lib/libtorch_cpu.so lib/libc10.so)
  if(NOT EXISTS ${EASEL_LIBTORCH}/${needed})
    message(FATAL_ERROR "EASEL_LIBTORCH=${EASEL_LIBTORCH} has no ${needed}")
  endif()
endforeach()

add_library(easel::torch INTERFACE IMPORTED GLOBAL)
target_include_directories(easel::torch SYSTEM INTERFACE
  ${EASEL_LIBTORCH}/include ${EASEL_LIBTORCH}/include/torch/csrc/api/include)
# Without it, Tensor.h brings the declaration of every operator into every file that includes it.
target_compile_definitions(easel::torch INTERFACE AT_PER_OPERATOR_HEADERS)
set(torch_libraries torch torch_cpu c10)
set(EASEL_CUDA OFF)
if(EXISTS ${EASEL_LIBTORCH}/lib/libtorch_cuda.so)
  set(EASEL_CUDA ON)
  list(APPEND torch_libraries torch_cuda c10_cuda)
  # Next to the torch/ of a wheel, CUDA's libraries are in one folder per package.
  file(GLOB cuda_library_dirs ${EASEL_LIBTORCH}/../nvidia/*/lib ${EASEL_LIBTORCH}/../nvidia/*/*/lib)
endif()
list(TRANSFORM torch_libraries PREPEND "-l" OUTPUT_VARIABLE torch_link_flags)
# Nothing in easel names a symbol of torch_cuda; its kernels register when it is loaded, so it must not be dropped.
target_link_options(easel::torch INTERFACE -L${EASEL_LIBTORCH}/lib
  -Wl,-rpath,${EASEL_LIBTORCH}/lib -Wl,-rpath-link,${EASEL_LIBTORCH}/lib)
foreach(dir IN LISTS cuda_library_dirs)
  target_link_options(easel::torch INTERFACE -Wl,-rpath-link,${dir})
endforeach()
target_link_libraries(easel::torch INTERFACE -Wl,--no-as-needed ${torch_link_flags} -Wl,--as-needed Threads::Threads)
# The OpenMP runtime that libtorch itself uses; a second one would have threads of its own.
file(GLOB openmp_runtime ${EASEL_LIBTORCH}/lib/libgomp*.so*)
if(openmp_runtime)
  list(GET openmp_runtime 0 openmp_runtime)
  target_link_libraries(easel::torch INTERFACE ${openmp_runtime})
elseif(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  target_link_options(easel::torch INTERFACE -fopenmp)
endif()
message(STATUS "libtorch: ${EASEL_LIBTORCH} (CUDA: ${EASEL_CUDA})")
