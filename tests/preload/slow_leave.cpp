// MPI_Finalize of a loaded machine: it takes each process two seconds, and every second process three more to leave
// after the first ones have left.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <initializer_list>

namespace {

int rank() {
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"}) {
    if (const char* number = std::getenv(variable)) return std::atoi(number);
  }
  return 0;
}

// A signal ends the process or does nothing; `sleep` would return early where it had a handler.
void wait_for(int seconds) {
  for (unsigned left = static_cast<unsigned>(seconds); left > 0;) left = ::sleep(left);
}

}  // namespace

extern "C" int MPI_Finalize() {
  wait_for(2);
  const int code = reinterpret_cast<int (*)()>(::dlsym(RTLD_NEXT, "MPI_Finalize"))();
  if (rank() % 2 == 1) wait_for(3);
  return code;
}
