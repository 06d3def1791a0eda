// Batches on a copy stream of their own, beside the step.
#pragma once

#include <memory>

#include "context.hpp"
#include "convoy/backend.hpp"

namespace convoy::cuda {

// `memory` holds `slots` slots of `bytes` each; what was enqueued on it so far is on the context's stream.
std::unique_ptr<Stager> make_stager(const Context&, Arena memory, int slots, std::size_t bytes);

}  // namespace convoy::cuda
