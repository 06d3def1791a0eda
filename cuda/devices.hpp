// The GPUs that this process sees, and whether they can be used.
#pragma once

#include <string>
#include <vector>

#include "convoy/types.hpp"

namespace convoy::cuda {

std::string missing();          // why no GPU can be used here; empty: one can
std::string lacks(Precision);   // why the first GPU cannot compute so; empty: it can
std::string runtime_version();  // "13.0"
std::string cudnn_version();    // "9.19.0"
int visible_devices();          // 0 where there is no driver
std::vector<std::string> describe_devices();

}  // namespace convoy::cuda
