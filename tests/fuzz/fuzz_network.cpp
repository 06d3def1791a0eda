// Network files: whatever the bytes, either one Error or a network whose shapes, layout and operations agree.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string_view>

#include "convoy/error.hpp"
#include "nn/describe.hpp"
#include "nn/initialise.hpp"
#include "nn/lower.hpp"

namespace {

using namespace convoy;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_layout(const ParamLayout& layout) {
  std::set<std::string> names;
  for (const Parameter& p : layout.parameters) {
    require(p.offset * sizeof(float) % kAlignment == 0 && p.offset + p.count <= layout.total_elements);
    require(names.insert(p.name).second);
  }
  require(layout.trainable_elements <= layout.communicated_elements);
  require(layout.communicated_elements <= layout.total_elements);
  if (layout.total_elements < 100'000) require(initial_weights(layout, 1).size() == layout.total_elements);
}

void check_operations(const ParamLayout& layout, const LoweredNetwork& lowered) {
  std::set<int> parameters;
  for (std::size_t i = 0; i < lowered.operations.size(); ++i) {
    const LoweredOperation& operation = lowered.operations[i];
    for (const int read : {operation.input, operation.residual})
      if (read >= 0) require(lowered.tensors.at(static_cast<std::size_t>(read)).producer < static_cast<int>(i));
    require(operation.input >= 0);
    require(std::visit([](const auto& spec) { return spec.input; }, operation.spec) ==
            lowered.tensors.at(static_cast<std::size_t>(operation.input)).extent);
    for (const int p : {operation.weights, operation.bias, operation.running_mean, operation.running_variance})
      require(p < 0 || parameters.insert(p).second);
  }
  require(parameters.size() == layout.parameters.size());
  for (std::size_t t = 0; t < lowered.tensors.size(); ++t)
    require(lowered.tensors[t].readers.empty() == (static_cast<int>(t) == lowered.logits) || t == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const Network network = parse_network({reinterpret_cast<const char*>(data), size}, "fuzz.json");
    const Shapes shapes = infer_shapes(network, 10, 1 + 2 * static_cast<int>(size % 2));
    const ParamLayout layout = make_layout(network, shapes);
    check_layout(layout);
    for (const Mode mode : {Mode::train, Mode::evaluate}) {
      const LoweredNetwork lowered = lower(network, shapes, layout, {.mode = mode});
      check_operations(layout, lowered);
      require(!describe(network, shapes, layout, lowered).empty());
    }
  } catch (const Error& error) {
    require(std::string_view(error.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}
