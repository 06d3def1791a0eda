# What a build for other machines (CONVOY_PORTABLE) links differently. Included before libarchive is looked for.
# libarchive's shared library needs a dozen others, 35 MB with ICU's tables; reading a tar needs none of them.
find_library(LibArchive_LIBRARY libarchive.a REQUIRED)

# Libraries beside the executable, and before any of the same name elsewhere: RPATH, not RUNPATH, since the latter
# does not hold for the libraries that a library needs.
set(CMAKE_INSTALL_RPATH "$ORIGIN;$ORIGIN/lib;$ORIGIN/../lib")
