// What follows a convolution, as loops over one batch. Plain data; see table.hpp.
#pragma once

#include <cstdint>

#include "convoy/types.hpp"

namespace convoy::cpu {

struct EpilogueKernels {};

}  // namespace convoy::cpu
