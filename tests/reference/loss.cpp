// See loss.hpp.
#include "reference/loss.hpp"

#include <algorithm>
#include <cmath>

namespace convoy::reference {

Loss softmax_cross_entropy(const LossSpec& spec, const StepRow& row, const std::vector<double>& logits,
                           const std::vector<std::int32_t>& labels) {
  Loss result;
  result.gradient.resize(logits.size(), 0.0);
  for (int n = 0; n < std::min(spec.rows, static_cast<int>(row.count)); ++n) {
    const double* given = &logits[static_cast<std::size_t>(n) * spec.classes];
    std::vector<double> scaled(given, given + spec.classes);
    for (double& value : scaled) value *= spec.logit_scale;
    const auto best = std::max_element(scaled.begin(), scaled.end());
    double sum = 0;
    for (const double value : scaled) sum += std::exp(value - *best);
    const double log_sum = std::log(sum) + *best;

    result.samples += 1;
    result.correct += best - scaled.begin() == labels[n];
    for (int c = 0; c < spec.classes; ++c) {
      const double target = (1 - spec.smoothing) * (c == labels[n]) + spec.smoothing / spec.classes;
      result.loss += target * (log_sum - scaled[c]);
      result.gradient[static_cast<std::size_t>(n) * spec.classes + c] =
          row.loss_weight * spec.logit_scale * (std::exp(scaled[c] - log_sum) - target);
    }
  }
  return result;
}

}  // namespace convoy::reference
