// One thread; the computation that it follows has nothing else to do.
#include "check.hpp"
#include "kernels/collective_mark.hpp"

namespace convoy::cuda {
namespace {

// The host's memory is written only: reading it would hold up the collective by a way there and back.
__global__ void arrive_kernel(DeviceMark* mark, std::uint64_t* arrivals) {
  mark->arrivals = ++*arrivals;
  mark->is_waiting = 1;
  __threadfence_system();
}

}  // namespace

void arrive(DeviceMark* mark, std::uint64_t* arrivals, cudaStream_t stream) {
  arrive_kernel<<<1, 1, 0, stream>>>(mark, arrivals);
  CHECK_CUDA(cudaGetLastError());
}

}  // namespace convoy::cuda
