# What a build for other machines (CONVOY_PORTABLE) links differently. Included before libarchive is looked for.
# libarchive's shared library needs a dozen others, 35 MB with ICU's tables; reading a tar needs none of them.
find_library(LibArchive_LIBRARY libarchive.a REQUIRED)

# Libraries beside the executable, and before any of the same name elsewhere: RPATH, not RUNPATH, since the latter
# does not hold for the libraries that a library needs.
set(CMAKE_INSTALL_RPATH "$ORIGIN;$ORIGIN/lib;$ORIGIN/../lib")
add_library(convoy_portable OBJECT ${PROJECT_SOURCE_DIR}/host/io/portable/arc4random.cpp)
target_link_options(convoy_base INTERFACE
                    -Wl,--disable-new-dtags
                    "$<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-Wl,--export-dynamic-symbol=arc4random*>")
target_sources(convoy_base INTERFACE "$<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:$<TARGET_OBJECTS:convoy_portable>>")
