// Shape inference: extents of every kind of layer, and errors that name the layer.
#include "nn/shapes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convoy/error.hpp"
#include "io/embedded.hpp"

namespace convoy {
namespace {

using ::testing::HasSubstr;

Network network_of(const std::string& layers, const std::string& input = "[32, 32, \"channels\"]") {
  return parse_network(R"({"name": "tiny", "input": )" + input + R"(, "layers": [)" + layers +
                           R"(, {"name": "head", "type": "dense", "outputs": "classes"}]})",
                       "tiny.json");
}

LayerShape first_shape(const std::string& layer, const std::string& input = "[32, 32, 3]") {
  return infer_shapes(network_of(layer, input), 10, 3).layers[0];
}

std::string message_of(const std::string& layers, const std::string& input = "[32, 32, 3]") {
  try {
    infer_shapes(network_of(layers, input), 10, 3);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Shapes, the_seed_network_has_the_extents_that_keras_prints) {
  const Network network = load_network("seed");
  const Shapes shapes = infer_shapes(network, 10, 3);
  const std::vector<Extent> expected = {{30, 30, 32}, {30, 30, 32}, {15, 15, 32}, {13, 13, 64}, {13, 13, 64},
                                        {6, 6, 64},   {4, 4, 128},  {4, 4, 128},  {4, 4, 128},  {1, 1, 128},
                                        {1, 1, 128},  {1, 1, 128},  {1, 1, 10}};
  ASSERT_EQ(shapes.layers.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(shapes.layers[i].output, expected[i]) << i;
  EXPECT_FALSE(shapes.layers[7].flat);
  EXPECT_TRUE(shapes.layers[8].flat);
}

TEST(Shapes, same_padding_gives_the_odd_pixel_to_the_bottom_and_right) {
  const auto shape = [](int kernel, int stride) {
    return first_shape(R"({"name": "c", "type": "convolution", "filters": 4, "padding": "same", "kernel": )" +
                       std::to_string(kernel) + ", \"stride\": " + std::to_string(stride) + "}");
  };
  EXPECT_EQ(shape(3, 1).output, (Extent{32, 32, 4}));
  EXPECT_EQ(shape(3, 1).padding, (Padding{1, 1, 1, 1}));
  EXPECT_EQ(shape(2, 1).padding, (Padding{0, 1, 0, 1}));
  EXPECT_EQ(shape(3, 2).output, (Extent{16, 16, 4}));
  EXPECT_EQ(shape(3, 2).padding, (Padding{0, 1, 0, 1}));
  EXPECT_EQ(shape(5, 3).output, (Extent{11, 11, 4}));
  EXPECT_EQ(shape(1, 2).padding, Padding{});
}

TEST(Shapes, windows_that_do_not_fit_entirely_are_dropped) {
  EXPECT_EQ(first_shape(R"({"name": "p", "type": "max_pool", "kernel": 3})").output, (Extent{10, 10, 3}));
  EXPECT_EQ(first_shape(R"({"name": "p", "type": "average_pool", "kernel": 3, "stride": 2, "padding": 1})").output,
            (Extent{16, 16, 3}));
  EXPECT_EQ(first_shape(R"({"name": "c", "type": "convolution", "filters": 2, "kernel": [3, 5], "stride": [2, 1],
      "padding": [1, 0, 0, 2]})")
                .output,
            (Extent{16, 30, 2}));
  EXPECT_EQ(first_shape(R"({"name": "g", "type": "global_average_pool"})").output, (Extent{1, 1, 3}));
}

TEST(Shapes, classes_and_channels_are_bound_from_the_data_for_every_zoo_network) {
  for (const EmbeddedFile& file : embedded_networks()) {
    const Network network = load_network(std::string(file.name));
    for (const int channels : {1, 3}) {
      const Shapes shapes = infer_shapes(network, 100, channels);
      EXPECT_EQ(shapes.classes, 100);
      EXPECT_EQ(shapes.layers.back().output.elements(), 100) << file.name;
      EXPECT_EQ(shapes.input.channels, network.input.channels == kFromChannels ? channels : network.input.channels);
      EXPECT_NO_THROW(check_image(network, {32, 32, channels}));
    }
  }
}

TEST(Shapes, a_kernel_larger_than_its_input_names_the_layer) {
  EXPECT_EQ(message_of(R"({"name": "c", "type": "convolution", "filters": 4, "kernel": 5})", "[3, 3, 3]"),
            "tiny.json: layer 'c': its kernel 5x5 does not fit into its input 3x3x3 (with padding 0, 0, 0, 0)");
}

TEST(Shapes, padding_as_large_as_the_kernel_is_refused) {
  EXPECT_THAT(message_of(R"({"name": "p", "type": "max_pool", "kernel": 2, "padding": [0, 2]})"),
              HasSubstr("layer 'p': padding must be smaller than the kernel, 2x2"));
}

TEST(Shapes, adding_different_shapes_shows_both) {
  EXPECT_THAT(message_of(R"({"name": "p", "type": "max_pool", "kernel": 2},
                            {"name": "sum", "type": "add", "from": ["p", "input"]})"),
              HasSubstr("layer 'sum': its inputs have different shapes, 16x16x3 and 32x32x3"));
  EXPECT_THAT(message_of(R"({"name": "f", "type": "flatten"}, {"name": "sum", "type": "add", "from": ["f", "input"]})"),
              HasSubstr("32x32x3 flattened and 32x32x3"));
}

TEST(Shapes, a_flattened_vector_cannot_enter_what_needs_an_image) {
  for (const char* layer :
       {R"({"name": "x", "type": "convolution", "filters": 4, "kernel": 1})",
        R"({"name": "x", "type": "max_pool", "kernel": 2})", R"({"name": "x", "type": "global_average_pool"})",
        R"({"name": "x", "type": "batch_normalisation"})"})
    EXPECT_THAT(message_of(std::string(R"({"name": "f", "type": "flatten"}, )") + layer),
                HasSubstr("needs [H, W, C], found a flattened vector of 3072 values; put it before the flatten"));
  EXPECT_EQ(message_of(R"({"name": "d", "type": "dense", "outputs": 5}, {"name": "n", "type": "batch_normalisation"})"),
            "accepted");
}

TEST(Shapes, a_whitening_layer_must_have_two_filters_per_patch_value_and_read_the_input) {
  const std::string layer =
      R"({"name": "w", "type": "convolution", "kernel": 2, "initialise": "whitening", "filters": )";
  EXPECT_EQ(message_of(layer + "24}"), "accepted");
  EXPECT_THAT(message_of(layer + "32}"), HasSubstr("whitening a 2x2x3 patch takes 24 filters, found 32"));
  EXPECT_THAT(message_of(R"({"name": "r", "type": "relu"}, )" + layer + "24}"),
              HasSubstr("layer 'w': whitening must read the network's input"));
}

TEST(Shapes, a_fixed_number_of_outputs_must_be_that_of_the_classes) {
  const Network network = parse_network(
      R"({"name": "t", "input": [8, 8, 3], "layers": [{"name": "fc", "type": "dense", "outputs": 10}]})", "t.json");
  EXPECT_NO_THROW(infer_shapes(network, 10, 3));
  try {
    infer_shapes(network, 100, 3);
    FAIL() << "accepted";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("t.json: layer 'fc': the last layer gives 10 values, but the data have 100"));
  }
}

TEST(Shapes, outputs_beyond_what_32_bits_index_are_refused) {
  EXPECT_THAT(
      message_of(R"({"name": "c", "type": "convolution", "filters": 1000000, "kernel": 1})", "[16384, 16384, 1]"),
      HasSubstr("layer 'c': its output 16384x16384x1000000 has 268435456000000 elements"));
}

TEST(Shapes, images_that_cannot_enter_the_network_are_refused) {
  const Network any = load_network("seed"), grey = network_of(R"({"name": "r", "type": "relu"})", "[28, 28, 1]");
  EXPECT_THROW(check_image(any, {28, 28, 1}), UsageError);
  EXPECT_THROW(check_image(grey, {28, 28, 3}), UsageError);
  EXPECT_NO_THROW(check_image(grey, {28, 28, 1}));
}

}  // namespace
}  // namespace convoy
