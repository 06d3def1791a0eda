# Finds oneDNN as the target DNNL::dnnl; see find_versioned.cmake. Its own CMake configuration is passed by: Debian's asks
# for OpenCL headers, which nothing here needs.
include(find_versioned)
convoy_find_versioned(OneDNN DNNL::dnnl oneapi/dnnl/dnnl.hpp oneapi/dnnl/dnnl_version.h
                      "DNNL_VERSION_(MAJOR|MINOR|PATCH)" dnnl)
