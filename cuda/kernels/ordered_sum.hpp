// The sum of one vector a rank, in the order of ranks.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace convoy::cuda {

// own[i] = v_0[i] + v_1[i] + ... + v_(ranks-1)[i], added from the left, where v_rank is `own` and the others lie in
// `others`, `stride` elements apart, in the order of ranks.
void sum_in_order(float* own, const float* others, std::size_t stride, int rank, int ranks, std::size_t count,
                  cudaStream_t stream);

}  // namespace convoy::cuda
