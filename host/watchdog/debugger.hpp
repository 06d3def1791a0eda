// Whether somebody looks into a process: under a debugger or a profiler standing still is no fault.
#pragma once

namespace convoy::watchdog {

bool is_traced(int pid);  // by ptrace (gdb, strace); 0 is this process; false where it cannot be seen
bool is_profiled();       // started by Nsight Systems or Nsight Compute; reads the environment

}  // namespace convoy::watchdog
