# Unity builds: several files of a target are compiled as one.
#
# Most of the time of compiling one of our files goes into the headers that it includes and the templates that it
# instantiates, which its neighbours need too. Compiling twelve files as one takes about a third of the processor time.
# The files' anonymous namespaces then share a scope, in which a name must not have two meanings: the compiler finds two
# different types or constants, and tests/structure/check_unity.py finds two functions, of which a call could choose the
# wrong one. A missing #include goes unnoticed; scripts/check --all, which builds without unity, finds it.
option(EASEL_UNITY "Compile several files of a target as one translation unit" OFF)
set(EASEL_UNITY_BATCH 12 CACHE STRING "How many files a translation unit of a unity build has at most")

# These files are compiled on their own: the first overrides an allocator's symbols, the second embeds a file by assembler
# code, and the third has compiler options of its own.
set(EASEL_SEPARATE_SOURCES
  src/app/allocator.cpp
  src/tokenizers/clip_vocabulary.cpp
  src/weights/format/block_format.cpp)

# easel_unite(TARGET): a unity build of TARGET, if EASEL_UNITY is on.
function(easel_unite target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${EASEL_UNITY} UNITY_BUILD_BATCH_SIZE ${EASEL_UNITY_BATCH})
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE OUTPUT_VARIABLE path)
    cmake_path(RELATIVE_PATH path BASE_DIRECTORY ${PROJECT_SOURCE_DIR})
    if(path IN_LIST EASEL_SEPARATE_SOURCES)
      set_source_files_properties(${source} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
  endforeach()
endfunction()
