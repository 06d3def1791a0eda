// Softmax cross-entropy with label smoothing in double precision, as Backend::softmax_cross_entropy words it.
#pragma once

#include <cstdint>
#include <vector>

#include "convoy/step_row.hpp"

namespace convoy::reference {

struct LossSpec {
  int rows = 0, classes = 0;
  double logit_scale = 1, smoothing = 0;
};

struct Loss {
  double loss = 0;  // summed over the valid rows, not weighted
  std::int64_t correct = 0, samples = 0;
  std::vector<double> gradient;  // [rows, classes], of the weighted loss by the unscaled logits; padding rows 0
};

// `labels` [rows]: those of the batch's own rows, in the batch's order. Of equal logits the first is the prediction.
// The target of class c is (1 - smoothing) * [c is the label] + smoothing / classes (Szegedy et al. 2016, as PyTorch).
Loss softmax_cross_entropy(const LossSpec&, const StepRow&, const std::vector<double>& logits,
                           const std::vector<std::int32_t>& labels);

}  // namespace convoy::reference
