// Runs one lowered operation on a backend the way the planner and the Step do, with traps around it: outputs,
// gradients and workspace start as NaN, what `needs` says is not read again is spoilt, guard bytes lie around every
// buffer. And compares all it produced with the double-precision reference.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "convoy/backend.hpp"
#include "nn/operation_shape.hpp"
#include "reference/operations.hpp"
#include "support/backends.hpp"

namespace convoy::test {

// What an operation is given, as floats in the logical orders; empty where it has none.
struct Tensors {
  std::vector<float> input, residual, output_gradient, weights, bias, running_mean, running_variance;
  StepRow row;
  std::vector<std::int32_t> order;
};

// What it produced, likewise. Gradients that the spec does not ask for stay empty.
struct Results {
  std::vector<float> output, input_gradient, residual_gradient, weights_gradient, bias_gradient;
  std::vector<float> running_mean, running_variance;
};

struct RunOptions {
  bool in_place = false;  // share memory where `needs` allows it
  bool offer_unwanted_gradients =
      false;  // buffers for gradients the spec does not ask for, which must stay as they are
};

// What a window of `kernel` gives that walks over `input` by `stride`.
Extent windows_over(const Extent& input, Size2 kernel, Size2 stride, const Padding&, int channels);

// Random tensors for the spec, activations and weights rounded to `type` so that a tolerance covers arithmetic alone.
// No two values of a max-pooling window are equal; what is normalised deviates about as much as its mean. The output's
// gradient is zero where the activation's argument is so close to a ReLU's corner that rounding may choose the side.
Tensors random_tensors(const OperationSpec&, int batch, DType type, std::uint64_t seed = 1);

reference::Arguments arguments_of(const Tensors&);

// refresh, forward and, in training, backward_begin, backward_weights, backward_data.
Results run_operation(Backend&, const OperationSpec&, int batch, Mode, const Tensors&, const RunOptions& = {});

// Adds a failure naming the tensor, the worst element and both values where |found - expected| is more than
// `tolerance` of the largest |expected|, or not a number. `allowed`, unless empty, is added element by element.
void expect_close(const std::string& tensor, const std::vector<float>& found, const std::vector<double>& expected,
                  double tolerance, const reference::Values& allowed = {});

// Everything `run_operation` gives against the reference, with memory apart and, where `needs` allows, shared.
// `allowed`: see expect_close.
void expect_matches_reference(Backend&, const OperationSpec&, int batch, Mode, const Tensors&, double tolerance,
                              const reference::Gradients& allowed = {});

// The reference against itself: its gradients against central differences of its forward pass.
void expect_gradients_match_differences(const OperationSpec&, int batch, std::uint64_t seed = 1);

// Planning throws Error, in one line that contains every one of `words`.
void expect_rejected(Backend&, const OperationSpec&, int batch, const std::vector<std::string>& words);

// A test over the rows of a BackendCase table. Skips, by name and with the reason, what the machine cannot run.
class OnBackend : public testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override;
  Tensors tensors(const OperationSpec& spec, int batch, std::uint64_t seed = 1) const {
    return random_tensors(spec, batch, compute_type(GetParam().precision), seed);
  }
  void expect_matches(const OperationSpec& spec, int batch, Mode mode = Mode::train) {
    expect_matches(spec, batch, mode, tensors(spec, batch));
  }
  void expect_matches(const OperationSpec& spec, int batch, Mode mode, const Tensors& given) {
    expect_matches_reference(*backend, spec, batch, mode, given, GetParam().tolerance,
                             moved_between_passes(spec, batch, given));
  }
  // What is allowed beside the tolerance, which is of one rounding: where a tensor between an epilogue's passes is
  // rounded too, as the CPU does, what that moves.
  reference::Gradients moved_between_passes(const OperationSpec& spec, int batch, const Tensors& given) const;

  std::unique_ptr<Backend> backend;
};

inline std::string case_name(const testing::TestParamInfo<BackendCase>& info) { return name(info.param); }

}  // namespace convoy::test
