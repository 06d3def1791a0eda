// The dispatch from a spec to its reference.
#include "reference/operations.hpp"

namespace convoy::reference {

Outputs forward(const OperationSpec& spec, int batch, Mode mode, const Arguments& arguments) {
  return std::visit([&](const auto& one) { return forward(one, batch, mode, arguments); }, spec);
}

Gradients backward(const OperationSpec& spec, int batch, const Arguments& arguments, const Values& output_gradient) {
  return std::visit([&](const auto& one) { return backward(one, batch, arguments, output_gradient); }, spec);
}

}  // namespace convoy::reference
