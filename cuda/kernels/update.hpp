// SGD and Adam over all blocks of an update in one launch, as convoy/update.hpp states them.
#pragma once

#include <cuda_runtime_api.h>

#include "convoy/types.hpp"
#include "convoy/update.hpp"
#include "nn/update_blocks.hpp"

namespace convoy::cuda {

constexpr std::size_t kUpdateBlock =
    2048;  // elements of one block of threads, at most: two packs of each array a thread

struct SgdSettings {
  float momentum = 0;
  bool nesterov = false, decoupled = false;
};

struct AdamSettings {
  float beta1 = 0, one_minus_beta1 = 1, beta2 = 0, one_minus_beta2 = 1, epsilon = 0;
  bool decoupled = false, keras_epsilon = false;
};

// `blocks` [count] is device memory; `narrow` the type of the narrow weights, f32: there are none.
void update_sgd(const UpdateBlock* blocks, int count, const SgdSettings&, const UpdateOperands&, DType narrow,
                cudaStream_t);
void update_adam(const UpdateBlock* blocks, int count, const AdamSettings&, const UpdateOperands&, DType narrow,
                 cudaStream_t);

}  // namespace convoy::cuda
