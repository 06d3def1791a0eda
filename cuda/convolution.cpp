#include "convoy/error.hpp"
#include "operations.hpp"

namespace convoy::cuda {

std::unique_ptr<Operation> plan_convolution(const ConvSpec&, int, Mode, const Context&) { fail("convolution: to be written"); }

}  // namespace convoy::cuda
