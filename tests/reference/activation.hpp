// The activations in double precision. GELU is x * Phi(x) with the error function (Hendrycks and Gimpel 2016), not its
// tanh approximation; SiLU is x * sigmoid(x).
#pragma once

#include "convoy/types.hpp"

namespace convoy::reference {

double activate(Activation, double x);
double activation_derivative(Activation, double x);  // of ReLU at 0: 0

}  // namespace convoy::reference
