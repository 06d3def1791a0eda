# Finds cuDNN 9.1 or later as the target Convoy::cudnn; CuDNN_ROOT or CMAKE_PREFIX_PATH names a place of its own.
include(FindPackageHandleStandardArgs)

find_path(CuDNN_INCLUDE_DIR cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS} PATH_SUFFIXES include)
find_library(CuDNN_LIBRARY NAMES cudnn libcudnn.so.9 HINTS ${CUDAToolkit_LIBRARY_DIR} PATH_SUFFIXES lib lib64)
mark_as_advanced(CuDNN_INCLUDE_DIR CuDNN_LIBRARY)
if(CuDNN_INCLUDE_DIR)
  file(STRINGS ${CuDNN_INCLUDE_DIR}/cudnn_version.h lines REGEX "define CUDNN_(MAJOR|MINOR|PATCHLEVEL) ")
  string(REGEX REPLACE "[^0-9;]" "" lines "${lines}")
  string(REPLACE ";" "." CuDNN_VERSION "${lines}")
endif()

find_package_handle_standard_args(CuDNN REQUIRED_VARS CuDNN_LIBRARY CuDNN_INCLUDE_DIR VERSION_VAR CuDNN_VERSION)
if(CuDNN_FOUND AND NOT TARGET Convoy::cudnn)
  add_library(Convoy::cudnn UNKNOWN IMPORTED)
  set_target_properties(Convoy::cudnn PROPERTIES IMPORTED_LOCATION ${CuDNN_LIBRARY}
                                                 INTERFACE_INCLUDE_DIRECTORIES ${CuDNN_INCLUDE_DIR})
endif()
