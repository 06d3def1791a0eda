#include "convoy/error.hpp"
#include "operations.hpp"

namespace convoy::cuda {

std::unique_ptr<Operation> plan_epilogue(const EpilogueSpec&, int, Mode, const Context&) { fail("epilogue: to be written"); }

}  // namespace convoy::cuda
