// The parameter layout: names, counts, sections, alignment and groups.
#include "nn/parameters.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "convoy/error.hpp"
#include "convoy/step_row.hpp"
#include "io/embedded.hpp"

namespace convoy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ParamLayout layout_of(const Network& network, int classes = 10, int channels = 3) {
  return make_layout(network, infer_shapes(network, classes, channels));
}

const Parameter& find(const ParamLayout& layout, std::string_view name) {
  return layout.parameters.at(static_cast<std::size_t>(layout.find(name)));
}

TEST(Parameters, the_zoo_has_the_published_numbers_of_parameters) {
  EXPECT_EQ(layout_of(load_network("seed")).weight_count(), 356'810U);          // Keras' summary()
  EXPECT_EQ(layout_of(load_network("resnet18")).weight_count(), 11'173'962U);   // PyTorch, 10 classes
  EXPECT_EQ(layout_of(load_network("airbench94")).weight_count(), 1'972'792U);  // scales fixed at 1 included
  EXPECT_EQ(layout_of(load_network("airbench94")).trainable_count(), 1'971'352U);
}

TEST(Parameters, sections_follow_one_another_aligned_and_without_overlap) {
  for (const EmbeddedFile& file : embedded_networks()) {
    const ParamLayout layout = layout_of(load_network(std::string(file.name)));
    std::vector<const Parameter*> by_offset;
    for (const Parameter& p : layout.parameters) by_offset.push_back(&p);
    std::sort(by_offset.begin(), by_offset.end(), [](auto* a, auto* b) { return a->offset < b->offset; });
    std::size_t end = 0;
    for (const Parameter* p : by_offset) {
      EXPECT_EQ(p->offset * sizeof(float) % kAlignment, 0U) << p->name;
      EXPECT_GE(p->offset, end) << p->name;
      EXPECT_LT(p->offset - end, kAlignment / sizeof(float)) << "a hole before " << p->name;
      end = p->offset + p->count;
      const std::size_t low = p->section == Section::trainable    ? 0
                              : p->section == Section::statistics ? layout.trainable_elements
                                                                  : layout.communicated_elements;
      const std::size_t high = p->section == Section::trainable    ? layout.trainable_elements
                               : p->section == Section::statistics ? layout.communicated_elements
                                                                   : layout.total_elements;
      EXPECT_TRUE(p->offset >= low && end <= high) << p->name;
    }
    EXPECT_LE(end, layout.total_elements);
    EXPECT_LT(layout.total_elements - end, kAlignment / sizeof(float));
  }
}

TEST(Parameters, airbench_freezes_whitening_filters_and_scales) {
  const ParamLayout layout = layout_of(load_network("airbench94"));
  EXPECT_EQ(find(layout, "whiten.weight").section, Section::frozen);
  EXPECT_EQ(find(layout, "whiten.bias").section, Section::trainable);
  EXPECT_EQ(find(layout, "layers.1.norm1.weight").section, Section::frozen);
  EXPECT_EQ(find(layout, "layers.1.norm1.bias").section, Section::trainable);
  EXPECT_EQ(find(layout, "layers.1.norm1.running_var").section, Section::statistics);
  EXPECT_THAT(layout.groups, ElementsAre("whitening_bias", "filters", "norm", "dense"));
  EXPECT_EQ(find(layout, "whiten.weight").group, -1);
  EXPECT_EQ(find(layout, "whiten.bias").group, 0);
  EXPECT_EQ(find(layout, "head.weight").group, 3);
}

TEST(Parameters, shapes_are_output_height_width_input_and_dense_rows_keep_their_extent) {
  const ParamLayout layout = layout_of(load_network("seed"));
  EXPECT_THAT(find(layout, "conv2.weight").shape, ElementsAre(64, 3, 3, 32));
  EXPECT_EQ(find(layout, "conv2.weight").extent, (Extent{3, 3, 32}));
  EXPECT_THAT(find(layout, "dense1.weight").shape, ElementsAre(128, 2048));
  EXPECT_EQ(find(layout, "dense1.weight").extent, (Extent{4, 4, 128}));
  EXPECT_THAT(find(layout, "dense1.bias").shape, ElementsAre(128));
  EXPECT_EQ(find(layout, "conv2.weight").fan_in, 288);
  EXPECT_EQ(find(layout, "conv2.weight").fan_out, 576);
  EXPECT_EQ(find(layout, "dense1.weight").fan_in, 2048);
  EXPECT_EQ(find(layout, "dense1.weight").fan_out, 128);
  EXPECT_EQ(find(layout, "conv2.bias").fan_in, 288);
}

TEST(Parameters, names_are_those_of_torchvisions_resnet18) {
  const ParamLayout layout = layout_of(load_network("resnet18"));
  for (const char* name :
       {"conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var", "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.running_mean", "layer4.1.conv2.weight", "fc.weight", "fc.bias"})
    EXPECT_GE(layout.find(name), 0) << name;
  EXPECT_EQ(layout.find("conv1.bias"), -1);
  EXPECT_EQ(layout.parameters.size(), 20U + 20U * 4U + 2U);  // convolutions, normalisations, fc
}

TEST(Parameters, parameters_are_found_by_layer_and_kind) {
  const Network network = load_network("seed");
  const ParamLayout layout = layout_of(network);
  const int bias = layout.of_layer(3, ParameterKind::bias);
  EXPECT_EQ(layout.parameters.at(static_cast<std::size_t>(bias)).name, "conv2.bias");
  EXPECT_EQ(layout.of_layer(3, ParameterKind::dense), -1);
}

TEST(Parameters, more_groups_than_there_are_rates_are_refused) {
  std::string layers;
  for (int i = 0; i <= kMaxGroups; ++i)
    layers += R"({"name": "d)" + std::to_string(i) +
              R"(", "type": "dense", "bias": false, "outputs": 10, "group": "g)" + std::to_string(i) + "\"}" +
              (i < kMaxGroups ? "," : "");
  const Network network = parse_network(R"({"name": "t", "input": [1, 1, 3], "layers": [)" + layers + "]}", "t.json");
  try {
    layout_of(network);
    FAIL() << "accepted";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("t.json: layer 'd16': 'g16' is one parameter group more than the 16"));
  }
}

TEST(Parameters, a_tensor_too_large_to_index_is_refused) {
  const Network network = parse_network(
      R"({"name": "t", "input": [1024, 1024, 3], "layers": [{"name": "d", "type": "dense", "outputs": 1000},
          {"name": "e", "type": "dense", "outputs": "classes"}]})",
      "t.json");
  EXPECT_THROW(layout_of(network), UsageError);
}

}  // namespace
}  // namespace convoy
