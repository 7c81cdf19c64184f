# Third-party packages of the distribution. Each is one target, and its headers are SYSTEM.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(ICU REQUIRED COMPONENTS uc i18n)
pkg_check_modules(JEMALLOC REQUIRED IMPORTED_TARGET jemalloc)
find_package(CURL REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
# By pkg-config, because the package's own CMake files require its HTTP server and client, which are not used here.
pkg_check_modules(PROMETHEUS REQUIRED IMPORTED_TARGET prometheus-cpp-core)
pkg_check_modules(LIBPNG REQUIRED IMPORTED_TARGET libpng)
pkg_check_modules(LIBJPEG REQUIRED IMPORTED_TARGET libjpeg) # libjpeg-turbo, which has libjpeg's interface
pkg_check_modules(LIBWEBP REQUIRED IMPORTED_TARGET libwebp)
include(EaselSentencepiece)

find_path(STB_INCLUDE_DIR stb_image_write.h PATH_SUFFIXES stb REQUIRED)
add_library(easel_stb INTERFACE)
target_include_directories(easel_stb SYSTEM INTERFACE ${STB_INCLUDE_DIR})

if(EASEL_BUILD_TESTS)
  find_package(GTest REQUIRED)
  find_package(benchmark REQUIRED)
  include(GoogleTest)
endif()

if(EASEL_WITH_TORCH)
  include(EaselTorch)
endif()
