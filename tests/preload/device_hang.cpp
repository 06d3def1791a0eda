// A GPU that hangs: on device D the stream of the N-th call of F (cudaGraphLaunch, or ncclAllReduce), counted from 1,
// stands still just before what was called, where CONVOY_TEST_HANG is "F D N". With cudaGraphLaunch that is a hang of
// the computation, with ncclAllReduce one of the collective.
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <sstream>
#include <string>
#include <thread>

#include "real.hpp"

namespace {

// Of the threads that hand out work.
thread_local bool is_rank = false;
std::atomic<bool> stands = false;

void stand_still(void*) {
  while (true) ::pause();
}

// A simulated device may use any thread that waits for one, also another rank's: that is let go.
void stand_still_apart(void*) {
  if (is_rank) return;
  stands = true;
  stand_still(nullptr);
}

// Where the collective is being recorded too.
void hang_collective(void* stream, int) {
  real<int(void*, void (*)(void*), void*)>(kRuntime, "cudaLaunchHostFunc")(stream, stand_still, nullptr);
}

// What stands still does so on a stream of its own, for which a thread of its own waits.
void hang_computation(void* stream, int device) {
  void *own = nullptr, *never = nullptr;
  constexpr unsigned kNonBlocking = 1, kWithoutTiming = 2;
  real<int(void**, unsigned)>(kRuntime, "cudaStreamCreateWithFlags")(&own, kNonBlocking);
  real<int(void**, unsigned)>(kRuntime, "cudaEventCreateWithFlags")(&never, kWithoutTiming);
  std::thread([own, device] {
    real<int(int)>(kRuntime, "cudaSetDevice")(device);
    while (true) {
      real<int(void*, void (*)(void*), void*)>(kRuntime, "cudaLaunchHostFunc")(own, stand_still_apart, nullptr);
      real<int(void*)>(kRuntime, "cudaStreamSynchronize")(own);
    }
  }).detach();
  while (!stands) ::usleep(1000);
  real<int(void*, void*)>(kRuntime, "cudaEventRecord")(never, own);
  real<int(void*, void*, unsigned)>(kRuntime, "cudaStreamWaitEvent")(stream, never, 0);
}

void hang_where_asked(const std::string& function, void* stream, void (*hang)(void* stream, int device)) {
  static std::atomic<int> calls = 0;
  is_rank = true;
  const char* asked = std::getenv("CONVOY_TEST_HANG");
  std::istringstream words(asked != nullptr ? asked : "");
  std::string wanted;
  int device = 0, number = 0, current = -1;
  if (!(words >> wanted >> device >> number) || wanted != function) return;
  real<int(int*)>(kRuntime, "cudaGetDevice")(&current);
  if (current == device && ++calls == number) hang(stream, device);
}

}  // namespace

extern "C" {

int cudaGraphLaunch(void* graph, void* stream) {
  hang_where_asked("cudaGraphLaunch", stream, hang_computation);
  return real<int(void*, void*)>(kRuntime, "cudaGraphLaunch")(graph, stream);
}

int ncclAllReduce(const void* from, void* to, std::size_t count, int type, int operation, void* group, void* stream) {
  hang_where_asked("ncclAllReduce", stream, hang_collective);
  return real<int(const void*, void*, std::size_t, int, int, void*, void*)>(kNccl, "ncclAllReduce")(
      from, to, count, type, operation, group, stream);
}
}
