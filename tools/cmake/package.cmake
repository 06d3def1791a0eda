# A folder, or with cpack a .tar.gz, that runs on machines with a driver, glibc 2.34 or later and Python: executable,
# CUDA module, the tests with cases for GPUs, their shared libraries (but glibc's and CUDA's own), and what
# tools/gpu_acceptance needs. `--target parts` builds them; installing needs no other target.
set(CONVOY_OLDEST_GLIBC 2.34)  # RHEL 9
# Libraries beside the executable come before any of the same name elsewhere, also for the libraries that libraries
# need: RPATH, not RUNPATH. What Debian's libstdc++ asks of a newer glibc the executables have themselves.
add_library(convoy_portable OBJECT host/io/portable/arc4random.cpp)
set(is_executable $<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>)
target_link_options(convoy_base INTERFACE -Wl,--disable-new-dtags
                    "$<${is_executable}:-Wl,--export-dynamic-symbol=arc4random*>")
target_sources(convoy_base INTERFACE "$<${is_executable}:$<TARGET_OBJECTS:convoy_portable>>")

set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)
set(parts convoy)
if(TARGET convoy_cuda)
  list(APPEND parts convoy_cuda)
  # A tenth of what it is by default; drivers know it since CUDA 12.4.
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
    target_compile_options(convoy_cuda PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:--compress-mode=size>")
  endif()
  install(TARGETS convoy_cuda RUNTIME_DEPENDENCY_SET needed LIBRARY DESTINATION .)
endif()
install(TARGETS convoy RUNTIME_DEPENDENCY_SET needed RUNTIME DESTINATION .)

# One program of all tests with cases for GPUs: apart, each would hold most of the executable once more. Their own names
# must be in anonymous namespaces.
get_property(gpu_tests GLOBAL PROPERTY CONVOY_GPU_TESTS)
if(CONVOY_TESTS AND gpu_tests)
  find_package(GTest REQUIRED)
  add_executable(gpu_tests ${gpu_tests})
  target_compile_options(gpu_tests PRIVATE $<$<CONFIG:Release>:-O1>)  # as in tests/CMakeLists.txt
  target_link_libraries(gpu_tests PRIVATE convoy_test_support GTest::gtest_main)
  if(TARGET convoy_cudnn)
    target_link_libraries(gpu_tests PRIVATE convoy_cudnn)  # for those of tests/cuda/
  endif()
  install(TARGETS gpu_tests RUNTIME_DEPENDENCY_SET needed RUNTIME DESTINATION tests)
  # What they find in the packed folder (tests/support/places.hpp).
  set(preloads preload_kernel_fault preload_nccl_windows)
  install(TARGETS ${preloads} RUNTIME_DEPENDENCY_SET needed LIBRARY DESTINATION tests/preload)
  install(DIRECTORY tests/golden DESTINATION tests
          FILES_MATCHING PATTERN "*.safetensors" PATTERN "*.json" PATTERN pictures EXCLUDE)
  list(APPEND parts gpu_tests ${preloads})
endif()
add_custom_target(parts DEPENDS ${parts})
set_target_properties(${parts} PROPERTIES INSTALL_RPATH "$ORIGIN/lib")
if(TARGET gpu_tests)
  set_target_properties(gpu_tests PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
endif()

# libgcc_s comes with every glibc; a newer one would ask for a newer glibc.
install(RUNTIME_DEPENDENCY_SET needed
        PRE_EXCLUDE_REGEXES "^lib(cu|nccl|nv)" "^lib(c|m|dl|rt|pthread|gcc_s)\\.so" "^ld-linux"
        LIBRARY DESTINATION lib)
install(PROGRAMS tools/gpu_acceptance DESTINATION tools)
install(FILES tools/elf_file.py tools/network_file.py tools/torch_networks.py tools/load_torch.py tools/oldest_python.py
        DESTINATION tools)
install(DIRECTORY tools/acceptance tools/peers DESTINATION tools FILES_MATCHING PATTERN "*.py")
install(DIRECTORY host/nn/zoo DESTINATION host/nn)

# What shells complete, as the executable says it.
if(NOT CMAKE_CROSSCOMPILING)
  install(CODE "
    foreach(file bash-completion/completions/convoy zsh/site-functions/_convoy fish/vendor_completions.d/convoy.fish)
      set(path \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share/\${file}\")
      string(REGEX MATCH ^[a-z]+ shell \${file})
      get_filename_component(folder \"\${path}\" DIRECTORY)
      file(MAKE_DIRECTORY \"\${folder}\")
      message(STATUS \"Installing: \${path}\")
      execute_process(COMMAND \"$<TARGET_FILE:convoy>\" completion \${shell} OUTPUT_FILE \"\${path}\"
                      COMMAND_ERROR_IS_FATAL ANY)
    endforeach()")
endif()
install(FILES README.md LICENSE CHANGELOG.md CITATION.cff DESTINATION .)

# Last of all: what would not start with that glibc is an error here, not there.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
install(CODE "execute_process(
  COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tools/glibc_versions.py --lower --glibc ${CONVOY_OLDEST_GLIBC}
          \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\" COMMAND_ERROR_IS_FATAL ANY)")

set(CPACK_GENERATOR TGZ)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_FILE_NAME convoy-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR})
include(CPack)
