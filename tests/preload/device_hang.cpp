// A GPU that hangs: on device D the stream of the N-th call of F (cudaGraphLaunch, or ncclAllReduce), counted from 1,
// stands still just before what was called, where CONVOY_TEST_HANG is "F D N". With cudaGraphLaunch that is a hang of
// the computation, with ncclAllReduce one of the collective.
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <sstream>
#include <string>

#include "real.hpp"

namespace {

void stand_still(void*) {
  while (true) ::pause();
}

void hang_where_asked(const std::string& function, void* stream) {
  static std::atomic<int> calls = 0;
  const char* asked = std::getenv("CONVOY_TEST_HANG");
  std::istringstream words(asked != nullptr ? asked : "");
  std::string wanted;
  int device = 0, number = 0, current = -1;
  if (!(words >> wanted >> device >> number) || wanted != function) return;
  real<int(int*)>(kRuntime, "cudaGetDevice")(&current);
  if (current != device || ++calls != number) return;
  real<int(void*, void (*)(void*), void*)>(kRuntime, "cudaLaunchHostFunc")(stream, stand_still, nullptr);
}

}  // namespace

extern "C" {

int cudaGraphLaunch(void* graph, void* stream) {
  hang_where_asked("cudaGraphLaunch", stream);
  return real<int(void*, void*)>(kRuntime, "cudaGraphLaunch")(graph, stream);
}

int ncclAllReduce(const void* from, void* to, std::size_t count, int type, int operation, void* group, void* stream) {
  hang_where_asked("ncclAllReduce", stream);
  return real<int(const void*, void*, std::size_t, int, int, void*, void*)>(kNccl, "ncclAllReduce")(
      from, to, count, type, operation, group, stream);
}
}
