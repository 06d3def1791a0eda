// Where every parameter lies: one flat fp32 buffer in three sections, each tensor 256-byte aligned, padding zero:
//   [ trainable weights | running statistics | frozen tensors ]
// An average over the ranks is one range, the first communicated_elements; gradients and moments have the first
// trainable_elements, at the same offsets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nn/network.hpp"
#include "nn/shapes.hpp"

namespace convoy {

enum class ParameterKind : std::uint8_t { filters, dense, bias, scale, shift, running_mean, running_variance };
enum class Section : std::uint8_t { trainable, statistics, frozen };

struct Parameter {
  std::string name;  // PyTorch's state_dict key: "conv1.weight", "layer1.0.bn1.running_mean"
  ParameterKind kind{};
  int layer = 0;                    // index into Network::layers
  std::vector<std::int64_t> shape;  // as it lies: filters [O,H,W,I], dense [O, H*W*C], vectors [C]
  Extent extent;  // of one output's weights: filters (kernel H, kernel W, I), dense (H,W,C of its input): PyTorch
                  // wants each row in C,H,W order instead
  std::size_t offset = 0;  // elements from the buffer's start, whatever the section
  std::size_t count = 0;   // elements without padding
  Section section{};
  int group = -1;  // index into ParamLayout::groups; -1 for statistics and frozen tensors
  Initialisation initialise{};
  bool identity = false, unit_std = false;  // see Layer
  std::int64_t fan_in = 0, fan_out = 0;     // of the layer, for the initialisation of weights and bias

  bool trainable() const { return section == Section::trainable; }
};

struct ParamLayout {
  std::vector<Parameter> parameters;      // the network's order, not the buffer's: sections do not change an index
  std::vector<std::string> groups;        // at most kMaxGroups, by first appearance; group i has learning_rates[i]
  std::size_t trainable_elements = 0;     // with padding; the first section
  std::size_t communicated_elements = 0;  // with padding; trainable and statistics
  std::size_t total_elements = 0;         // with padding; the whole buffer

  int find(std::string_view name) const;           // index of the parameter; -1: none
  int find_group(std::string_view name) const;     // index of the group; -1: none
  int of_layer(int layer, ParameterKind) const;    // index of the parameter; -1: none
  const Parameter& at(std::size_t element) const;  // that this element of the buffer is of
  std::size_t trainable_count() const;             // elements without padding
  std::size_t weight_count() const;  // trainable and frozen without padding (what PyTorch's parameters() has)
};

// Throws UsageError where there are more groups than kMaxGroups or a tensor has 2^31 elements or more.
ParamLayout make_layout(const Network&, const Shapes&);

std::string_view name(ParameterKind);

}  // namespace convoy
