#include "convoy/error.hpp"
#include "operations.hpp"

namespace convoy::cuda {

std::unique_ptr<Operation> plan_dense(const DenseSpec&, int, Mode, const Context&) { fail("dense: to be written"); }

}  // namespace convoy::cuda
