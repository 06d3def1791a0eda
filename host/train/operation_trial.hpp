// One lowered operation, run by itself on a backend, to be compared with the same on another.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "convoy/backend.hpp"

namespace convoy {

// What an operation is given, in the logical orders; empty where it has none.
struct TrialTensors {
  std::vector<float> input, residual, output_gradient, weights, bias, running_mean, running_variance;
};

// Random values, of which `backend`'s compute type has every bit, so that another backend may be given the same.
TrialTensors trial_tensors(Backend& backend, const OperationSpec& spec, int batch, std::uint64_t seed);

// Forward and backward in training: every tensor that the operation writes, by name ("output", "input gradient", ...).
using TrialResults = std::map<std::string, std::vector<float>>;
TrialResults run_trial(Backend& backend, const OperationSpec& spec, int batch, const TrialTensors& given);

// ||found - expected|| / ||expected||; infinite where a value is no number, 0 where both are all zero.
double relative_error(const std::vector<float>& found, const std::vector<float>& expected);

}  // namespace convoy
