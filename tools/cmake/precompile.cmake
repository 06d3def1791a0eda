# convoy_precompile(TARGET GROUP HEADERS...): headers that most files of a group of targets include are compiled once, by
# the first of them; all have the same compiler options. It saves a quarter to a half of the compiler's work.
# Files include what they use all the same, which CI sees: a ccache saves more, goes badly with this, and so turns it off.
set(precompiles OFF)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND NOT CONVOY_CCACHE AND NOT CONVOY_SANITIZE AND NOT CONVOY_FUZZ)
  set(precompiles ON)
endif()

function(convoy_precompile target group)
  if(NOT precompiles)
    return()
  endif()
  get_property(owner GLOBAL PROPERTY convoy_precompiles_${group})
  if(owner)
    target_precompile_headers(${target} REUSE_FROM ${owner})
  else()
    target_precompile_headers(${target} PRIVATE ${ARGN})
    set_property(GLOBAL PROPERTY convoy_precompiles_${group} ${target})
  endif()
endfunction()
