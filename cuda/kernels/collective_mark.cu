// One thread; the computation that it follows has nothing else to do.
#include "check.hpp"
#include "kernels/collective_mark.hpp"

namespace convoy::cuda {
namespace {

__global__ void arrive_kernel(DeviceMark* mark) {
  mark->is_waiting = 1;
  mark->arrivals = mark->arrivals + 1;
  __threadfence_system();
}

}  // namespace

void arrive(DeviceMark* mark, cudaStream_t stream) {
  arrive_kernel<<<1, 1, 0, stream>>>(mark);
  CHECK_CUDA(cudaGetLastError());
}

}  // namespace convoy::cuda
