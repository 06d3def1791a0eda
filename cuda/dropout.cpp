#include "convoy/error.hpp"
#include "operations.hpp"

namespace convoy::cuda {

std::unique_ptr<Operation> plan_dropout(const DropoutSpec&, int, Mode, const Context&) { fail("dropout: to be written"); }

}  // namespace convoy::cuda
