// Parameters lie in the network's order and the backward pass goes the other way, so buckets are cut from the arena's
// end; branches may complete out of order, hence the sort.
#include "train/gradient_exchange.hpp"

#include <algorithm>

namespace convoy {
namespace {

// By parameter: the operation of the backward pass that writes its gradient. What none writes is complete at once,
// with the first operation of the pass.
std::vector<int> completing_operations(const ParamLayout& layout, const LoweredNetwork& network) {
  std::vector<int> operations(layout.parameters.size(), static_cast<int>(network.operations.size()) - 1);
  for (std::size_t i = 0; i < network.operations.size(); ++i) {
    const LoweredOperation& operation = network.operations[i];
    if (!operation.backward) continue;
    for (const int parameter : {operation.weights, operation.bias}) {
      if (parameter >= 0) operations[static_cast<std::size_t>(parameter)] = static_cast<int>(i);
    }
  }
  return operations;
}

}  // namespace

std::vector<GradientBucket> gradient_buckets(const ParamLayout& layout, const LoweredNetwork& network,
                                             std::size_t least_bytes) {
  const std::vector<int> operations = completing_operations(layout, network);
  std::vector<std::size_t> by_offset;
  for (std::size_t i = 0; i < layout.parameters.size(); ++i) {
    if (layout.parameters[i].trainable()) by_offset.push_back(i);
  }
  std::ranges::sort(by_offset, std::greater(), [&](std::size_t i) { return layout.parameters[i].offset; });

  std::vector<GradientBucket> buckets;
  std::size_t end = layout.trainable_elements;
  int operation = static_cast<int>(network.operations.size()) - 1;
  for (const std::size_t parameter : by_offset) {
    const std::size_t offset = layout.parameters[parameter].offset;
    operation = std::min(operation, operations[parameter]);  // the pass comes to it later
    const bool is_large = least_bytes > 0 && (end - offset) * sizeof(float) >= least_bytes;
    if (!is_large && offset > 0) continue;
    buckets.push_back({offset, end - offset, operation});
    end = offset;
    operation = static_cast<int>(network.operations.size()) - 1;
  }
  std::ranges::stable_sort(buckets, std::greater(), &GradientBucket::operation);
  return buckets;
}

}  // namespace convoy
