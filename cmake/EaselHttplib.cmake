# easel::httplib: cpp-httplib 0.58.0, pinned, in its split form (httplib.h and httplib.cpp).
#
# Never a distribution's package: those are older versions with known faults in the server, or have other limits
# compiled in. The table in docs/guide/transport.md says what easel adds to the library.
set(httplib_folder ${PROJECT_SOURCE_DIR}/.deps/httplib)
if(DEFINED ENV{EASEL_HTTPLIB})
  set(httplib_folder $ENV{EASEL_HTTPLIB})
endif()
set(EASEL_HTTPLIB ${httplib_folder} CACHE PATH
  "Folder with httplib.h and httplib.cpp of cpp-httplib 0.58.0; scripts/run and scripts/test install it")
set(httplib_h_sha256 8d093f6568679d72e555e935ee6b7fc24ce6aa1ab4f1c6f466726151f4a02a8b)
set(httplib_cpp_sha256 e5e5666fd1ec7114c726fd9e745c25d5f4fb7c9ba668bb7b2c105bf0755ee967)
foreach(suffix h cpp)
  set(file ${EASEL_HTTPLIB}/httplib.${suffix})
  if(NOT EXISTS ${file})
    message(FATAL_ERROR "EASEL_HTTPLIB=${EASEL_HTTPLIB} has no httplib.${suffix}. scripts/run and scripts/test install "
      "cpp-httplib 0.58.0; or set it to a folder with the two files of that version, as its split.py -e cpp makes them.")
  endif()
  file(SHA256 ${file} found)
  if(NOT found STREQUAL httplib_${suffix}_sha256)
    message(FATAL_ERROR "${file} is not that of cpp-httplib 0.58.0: its SHA-256 is ${found}")
  endif()
endforeach()

add_library(easel_httplib STATIC ${EASEL_HTTPLIB}/httplib.cpp)
add_library(easel::httplib ALIAS easel_httplib)
target_include_directories(easel_httplib SYSTEM PUBLIC $<BUILD_INTERFACE:${EASEL_HTTPLIB}>)
set_target_properties(easel_httplib PROPERTIES EXPORT_NAME httplib)
target_compile_options(easel_httplib PRIVATE -w)
target_link_libraries(easel_httplib PUBLIC Threads::Threads)
if(EASEL_SANITIZE)
  target_compile_options(easel_httplib PRIVATE -fsanitize=${EASEL_SANITIZE} -fno-omit-frame-pointer)
endif()
