# convoy_find_versioned(NAME TARGET HEADER VERSION_HEADER VERSION_MACROS LIBRARIES...): what a Find module of a library
# with one header, one library and its version in macros comes to. TARGET becomes an imported target; NAME_ROOT and
# CMAKE_PREFIX_PATH name places of one's own, the CUDA toolkit's folders are looked into as well. VERSION_MACROS is a
# regular expression that matches the three macros in their order.
include(FindPackageHandleStandardArgs)

macro(convoy_find_versioned name target header version_header version_macros)
  find_path(${name}_INCLUDE_DIR ${header} HINTS ${CUDAToolkit_INCLUDE_DIRS} PATH_SUFFIXES include)
  find_library(${name}_LIBRARY NAMES ${ARGN} HINTS ${CUDAToolkit_LIBRARY_DIR} PATH_SUFFIXES lib lib64)
  mark_as_advanced(${name}_INCLUDE_DIR ${name}_LIBRARY)
  if(${name}_INCLUDE_DIR)
    file(STRINGS ${${name}_INCLUDE_DIR}/${version_header} lines REGEX "define ${version_macros} ")
    string(REGEX REPLACE "[^0-9;]" "" lines "${lines}")
    string(REPLACE ";" "." ${name}_VERSION "${lines}")
  endif()
  find_package_handle_standard_args(${name} REQUIRED_VARS ${name}_LIBRARY ${name}_INCLUDE_DIR
                                            VERSION_VAR ${name}_VERSION)
  if(${name}_FOUND AND NOT TARGET ${target})
    add_library(${target} UNKNOWN IMPORTED)
    set_target_properties(${target} PROPERTIES IMPORTED_LOCATION ${${name}_LIBRARY}
                                               INTERFACE_INCLUDE_DIRECTORIES ${${name}_INCLUDE_DIR})
  endif()
endmacro()
