# sentencepiece::sentencepiece: libsentencepiece, without the library for training that its pkg-config file also names.
# The package file of an installed easel includes this file, too.
pkg_check_modules(SENTENCEPIECE REQUIRED QUIET sentencepiece)
find_library(SENTENCEPIECE_LIBRARY sentencepiece HINTS ${SENTENCEPIECE_LIBRARY_DIRS} REQUIRED)
if(NOT TARGET sentencepiece::sentencepiece)
  add_library(sentencepiece::sentencepiece SHARED IMPORTED)
  set_target_properties(sentencepiece::sentencepiece PROPERTIES IMPORTED_LOCATION ${SENTENCEPIECE_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES "${SENTENCEPIECE_INCLUDE_DIRS}")
endif()
