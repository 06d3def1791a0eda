# Writes OUTPUT, a .cpp with the version, commit, compiler and build type (host/io/build_info.hpp), if it would differ.
# Without git, or outside this project's own repository (a source archive), the commit is empty.
cmake_minimum_required(VERSION 3.22)

set(commit "")
set(is_dirty false)
set(git git --no-optional-locks -C ${SOURCE_DIR})
if(EXISTS ${SOURCE_DIR}/.git)
  execute_process(COMMAND ${git} rev-parse --short=12 HEAD
                  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(failed)
    set(commit "")
  else()
    # Only what becomes part of the executable counts.
    execute_process(COMMAND ${git} status --porcelain -- CMakeLists.txt include host cuda tools/cmake tools/recipes
                    OUTPUT_VARIABLE changes ERROR_QUIET)
    if(changes)
      set(is_dirty true)
    endif()
  endif()
endif()

set(code "// Written by tools/cmake/build_info.cmake.\n#include \"io/build_info.hpp\"\n\nnamespace convoy {\n\n")
string(APPEND code "const BuildInfo& build_info() {\n  static constexpr BuildInfo kInfo{\"${VERSION}\", \"${commit}\", "
                   "${is_dirty}, \"${COMPILER}\", \"${BUILD_TYPE}\"};\n  return kInfo;\n}\n\n}  // namespace convoy\n")
set(previous "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} previous)
endif()
if(NOT previous STREQUAL code)
  file(WRITE ${OUTPUT} "${code}")
endif()
