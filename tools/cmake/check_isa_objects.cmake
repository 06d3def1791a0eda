# Fails if an object file compiled for one instruction set defines a function that the linker may share with other
# files (weak symbols: inline functions and templates from headers), for then a processor without those instructions
# could run it. NM: the program; ISA: the namespace that may hold such symbols; OBJECTS: a list of files.
cmake_minimum_required(VERSION 3.22)
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND ${NM} --demangle --defined-only ${object} OUTPUT_VARIABLE symbols RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "${NM} cannot read ${object}")
  endif()
  string(REPLACE ";" "," symbols "${symbols}")
  string(REPLACE "\n" ";" symbols "${symbols}")
  list(FILTER symbols INCLUDE REGEX "^[0-9a-f]+ [WVu] ")
  list(FILTER symbols EXCLUDE REGEX "convoy::cpu::${ISA}::")
  foreach(symbol IN LISTS symbols)
    message(SEND_ERROR "${object} defines a symbol outside namespace ${ISA}: ${symbol}; force it inline or move it there")
  endforeach()
endforeach()
