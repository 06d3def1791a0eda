// The grammar of network files: what is accepted, what each option becomes, and what each mistake is told.
#include "nn/network.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "convoy/error.hpp"
#include "io/embedded.hpp"

namespace convoy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kHead = R"({"name": "head", "type": "dense", "outputs": "classes"})";

std::string file_with(const std::string& layers) {
  return R"({"name": "tiny", "input": [32, 32, "channels"], "layers": [)" + layers + "]}";
}

Network parse_layers(const std::string& layers) { return parse_network(file_with(layers), "tiny.json"); }

std::string message_of(const std::string& json) {
  try {
    parse_network(json, "tiny.json");
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Network, every_layer_reads_the_one_before_it_by_default) {
  const Network network = parse_layers(R"({"name": "a", "type": "relu"}, {"name": "b", "type": "gelu"}, )" + kHead);
  EXPECT_EQ(network.name, "tiny");
  EXPECT_EQ(network.input, (Extent{32, 32, kFromChannels}));
  EXPECT_THAT(network.layers[0].inputs, ElementsAre(kNetworkInput));
  EXPECT_THAT(network.layers[1].inputs, ElementsAre(0));
  EXPECT_THAT(network.layers[2].inputs, ElementsAre(1));
  EXPECT_EQ(network.layers[2].outputs, kFromClasses);
}

TEST(Network, from_names_earlier_layers_or_the_input) {
  const Network network = parse_layers(
      R"({"name": "a", "type": "relu"}, {"name": "b", "type": "gelu", "from": "input"},
         {"name": "sum", "type": "add", "from": ["b", "a"]}, )" +
      kHead);
  EXPECT_THAT(network.layers[1].inputs, ElementsAre(kNetworkInput));
  EXPECT_THAT(network.layers[2].inputs, ElementsAre(1, 0));
}

TEST(Network, a_convolution_has_documented_defaults) {
  const Layer layer =
      parse_layers(R"({"name": "c", "type": "convolution", "filters": 8, "kernel": 3}, )" + kHead).layers[0];
  EXPECT_EQ(layer.outputs, 8);
  EXPECT_EQ(layer.kernel, (Size2{3, 3}));
  EXPECT_EQ(layer.stride, (Size2{1, 1}));
  EXPECT_FALSE(layer.padding.same);
  EXPECT_EQ(layer.padding.pixels, Padding{});
  EXPECT_TRUE(layer.bias && layer.train_weights && layer.train_bias);
  EXPECT_EQ(layer.group, "filters");
  EXPECT_EQ(layer.bias_group, "biases");
  EXPECT_EQ(layer.initialise, Initialisation::torch_default);
  EXPECT_FALSE(layer.identity);
}

TEST(Network, a_convolution_takes_every_option) {
  const Layer layer = parse_layers(R"({"name": "c", "type": "convolution", "filters": 8, "kernel": [3, 5],
      "stride": [2, 1], "padding": [1, 0, 2, 3], "bias": false, "group": "stem", "initialise": "he_normal",
      "identity": true, "frozen": true, "about": "all"}, )" +
                                   kHead)
                          .layers[0];
  EXPECT_EQ(layer.kernel, (Size2{3, 5}));
  EXPECT_EQ(layer.stride, (Size2{2, 1}));
  EXPECT_EQ(layer.padding.pixels, (Padding{1, 0, 2, 3}));
  EXPECT_FALSE(layer.bias || layer.train_weights || layer.train_bias);
  EXPECT_EQ(layer.group, "stem");
  EXPECT_EQ(layer.initialise, Initialisation::he_normal);
  EXPECT_TRUE(layer.identity);
}

TEST(Network, padding_may_be_one_number_two_or_a_word) {
  const auto padding = [](const std::string& value) {
    return parse_layers(R"({"name": "c", "type": "convolution", "filters": 8, "kernel": 7, "padding": )" + value +
                        "}, " + kHead)
        .layers[0]
        .padding;
  };
  EXPECT_EQ(padding("2").pixels, (Padding{2, 2, 2, 2}));
  EXPECT_EQ(padding("[1, 3]").pixels, (Padding{1, 1, 3, 3}));
  EXPECT_TRUE(padding("\"same\"").same);
  EXPECT_FALSE(padding("\"valid\"").same);
}

TEST(Network, frozen_may_name_weights_or_bias) {
  const auto convolution = [](const std::string& frozen) {
    return parse_layers(R"({"name": "c", "type": "convolution", "filters": 8, "kernel": 1, "frozen": )" + frozen +
                        "}, " + kHead)
        .layers[0];
  };
  EXPECT_FALSE(convolution("\"weights\"").train_weights);
  EXPECT_TRUE(convolution("\"weights\"").train_bias);
  EXPECT_TRUE(convolution("\"bias\"").train_weights);
  EXPECT_FALSE(convolution("\"bias\"").train_bias);
  EXPECT_TRUE(convolution("false").train_weights && convolution("false").train_bias);
}

TEST(Network, a_normalisation_takes_its_options) {
  const Layer layer = parse_layers(R"({"name": "n", "type": "batch_normalisation", "epsilon": 1e-12, "momentum": 0.4,
      "scale": false}, )" + kHead)
                          .layers[0];
  EXPECT_FLOAT_EQ(layer.epsilon, 1e-12F);
  EXPECT_FLOAT_EQ(layer.momentum, 0.4F);
  EXPECT_FALSE(layer.train_weights);
  EXPECT_TRUE(layer.train_bias);
  EXPECT_EQ(layer.group, "norm");
}

TEST(Network, a_pool_strides_by_its_kernel_unless_told) {
  const Network network = parse_layers(R"({"name": "p", "type": "max_pool", "kernel": [2, 3]},
      {"name": "q", "type": "average_pool", "kernel": 3, "stride": 2, "padding": 1}, )" +
                                       kHead);
  EXPECT_EQ(network.layers[0].stride, (Size2{2, 3}));
  EXPECT_EQ(network.layers[1].stride, (Size2{2, 2}));
  EXPECT_EQ(network.layers[1].padding.pixels, (Padding{1, 1, 1, 1}));
}

struct Mistake {
  const char* what;
  std::string json;
  const char* message;
};

class NetworkMistake : public ::testing::TestWithParam<Mistake> {};

TEST_P(NetworkMistake, is_told_with_file_layer_expected_and_found) {
  const std::string message = message_of(GetParam().json);
  EXPECT_THAT(message, HasSubstr("tiny.json"));
  EXPECT_THAT(message, HasSubstr(GetParam().message));
  EXPECT_EQ(message.find('\n'), message.npos) << message;
}

const Mistake kMistakes[] = {
    {"not_json", "{\"name\": ", "not JSON: parse error at line 1"},
    {"not_an_object", "[1, 2]", "expected an object {...}, found [1,2]"},
    {"no_name", R"({"input": [1, 1, 1], "layers": []})", "\"name\" is missing"},
    {"no_input", R"({"name": "t", "layers": []})", "\"input\" is missing"},
    {"short_input", R"({"name": "t", "input": [32, 32], "layers": []})", "\"input\": expected [H, W, C]"},
    {"negative_input", R"({"name": "t", "input": [-1, 32, 3], "layers": []})", "found [-1,32,3]"},
    {"wrong_word", R"({"name": "t", "input": [32, 32, "colours"], "layers": []})",
     "or \"channels\", found \"colours\""},
    {"no_layers", file_with(""), "\"layers\": expected a list of 1 to 10000 layers, found []"},
    {"unknown_file_key", R"({"name": "t", "input": [1, 1, 1], "layers": [1], "size": 3})",
     "unknown key \"size\"; a network has: about, input, layers, name"},
    {"twice", R"({"name": "t", "name": "u", "input": [1, 1, 1], "layers": []})", "the key \"name\" stands twice"},
    {"layer_without_name", file_with(R"({"type": "relu"})"), "layer 1: \"name\" is missing"},
    {"layer_without_type", file_with(R"({"name": "a"})"), "layer 'a': \"type\" is missing"},
    {"unknown_type", file_with(R"({"name": "a", "type": "conv"})"),
     "layer 'a': \"type\": expected one of convolution, dense, max_pool"},
    {"unknown_key", file_with(R"({"name": "a", "type": "max_pool", "kernal": 2, "kernel": 2})"),
     "layer 'a': unknown key \"kernal\"; max_pool has: about, from, kernel, name, padding, stride, type"},
    {"missing_kernel", file_with(R"({"name": "a", "type": "convolution", "filters": 3})"), "\"kernel\" is missing"},
    {"wrong_kernel", file_with(R"({"name": "a", "type": "max_pool", "kernel": "2"})"),
     "layer 'a': \"kernel\": expected N or [H, W] with numbers from 1 to 1024, found \"2\""},
    {"zero_kernel", file_with(R"({"name": "a", "type": "max_pool", "kernel": 0})"), "found 0"},
    {"huge_kernel", file_with(R"({"name": "a", "type": "max_pool", "kernel": 18446744073709551615})"), "found 184467"},
    {"three_strides", file_with(R"({"name": "a", "type": "max_pool", "kernel": 2, "stride": [1, 2, 3]})"),
     "\"stride\": expected N or [H, W]"},
    {"wrong_padding", file_with(R"({"name": "a", "type": "max_pool", "kernel": 2, "padding": "full"})"),
     "\"padding\": expected \"valid\", \"same\", N, [H, W] or [top, bottom, left, right]"},
    {"fractional_filters", file_with(R"({"name": "a", "type": "convolution", "kernel": 2, "filters": 1.5})"),
     "\"filters\": expected 1 to 1048576 or \"classes\", found 1.5"},
    {"wrong_scheme", file_with(R"({"name": "a", "type": "dense", "outputs": 2, "initialise": "he"})"),
     "expected one of glorot_uniform, he_normal, torch_default, whitening, found \"he\""},
    {"whitening_dense", file_with(R"({"name": "a", "type": "dense", "outputs": 2, "initialise": "whitening"})"),
     "whitening is for convolutions"},
    {"wrong_frozen", file_with(R"({"name": "a", "type": "dense", "outputs": 2, "frozen": "all"})"),
     "\"frozen\": expected true, \"weights\" or \"bias\", found \"all\""},
    {"rate_of_one", file_with(R"({"name": "a", "type": "dropout", "rate": 1})"), "\"rate\": expected the share"},
    {"zero_epsilon", file_with(R"({"name": "a", "type": "batch_normalisation", "epsilon": 0})"), "a positive number"},
    {"zero_momentum", file_with(R"({"name": "a", "type": "batch_normalisation", "momentum": 0})"), "\"momentum\""},
    {"infinite_factor", file_with(R"({"name": "a", "type": "scale", "factor": 1e300})"), "\"factor\""},
    {"text_for_bool", file_with(R"({"name": "a", "type": "dense", "outputs": 2, "bias": "no"})"),
     "\"bias\": expected true or false, found \"no\""},
    {"named_input", file_with(R"({"name": "input", "type": "relu"})"), "'input' is the network's input"},
    {"name_with_space", file_with(R"({"name": "a b", "type": "relu"})"), "\"name\": expected a name of 1 to 100"},
    {"same_name", file_with(R"({"name": "a", "type": "relu"}, {"name": "a", "type": "relu"})"), "used twice"},
    {"unknown_from", file_with(R"({"name": "a", "type": "relu", "from": "z"})"), "there is no layer 'z'"},
    {"reads_itself", file_with(R"({"name": "a", "type": "relu", "from": "a"})"), "it reads itself"},
    {"cycle", file_with(R"({"name": "a", "type": "relu", "from": "b"}, {"name": "b", "type": "relu"})"),
     "layer 'a': \"from\": 'b' comes later (a cycle, or list that layer first)"},
    {"add_of_one", file_with(R"({"name": "a", "type": "add", "from": "input"})"), "expected the names of two layers"},
    {"add_without_from", file_with(R"({"name": "a", "type": "add"})"), "\"from\" is missing"},
    {"add_to_itself", file_with(R"({"name": "a", "type": "add", "from": ["input", "input"]})"),
     "expected two different layers"},
    {"two_for_relu", file_with(R"({"name": "a", "type": "relu", "from": ["input", "input"]})"),
     "the name of one layer"},
    {"unused", file_with(R"({"name": "a", "type": "relu"}, {"name": "b", "type": "dense", "outputs": 2,
      "from": "input"})"),
     "layer 'a': no layer reads it"},
    {"no_dense_end", file_with(R"({"name": "a", "type": "relu"})"),
     "layer 'a': the last layer (but for scale) must be"},
    {"early_scale", file_with(R"({"name": "a", "type": "scale", "factor": 2}, )" + kHead), "must be the last layer"},
    {"lonely_scale", file_with(R"({"name": "a", "type": "scale", "factor": 2})"),
     "scale must read the layer before it"},
};

INSTANTIATE_TEST_SUITE_P(Mistakes, NetworkMistake, ::testing::ValuesIn(kMistakes),
                         [](const auto& mistake) { return mistake.param.what; });

TEST(Network, the_zoo_has_the_three_networks_and_each_parses) {
  std::vector<std::string> names;
  for (const EmbeddedFile& file : embedded_networks()) {
    const Network network = load_network(std::string(file.name));
    EXPECT_EQ(network.name, file.name);
    EXPECT_EQ(network.origin, "zoo:" + std::string(file.name));
    names.push_back(network.name);
  }
  EXPECT_THAT(names, ::testing::IsSupersetOf({"seed", "airbench94", "resnet18"}));
}

TEST(Network, a_path_loads_a_file_named_in_messages) {
  const auto path = std::filesystem::path(testing::TempDir()) / "convoy_network_test.json";
  std::ofstream(path) << file_with(kHead);
  EXPECT_EQ(load_network(path.string()).origin, "convoy_network_test.json");
  std::filesystem::remove(path);
}

TEST(Network, an_unknown_model_is_told_the_zoo) {
  try {
    load_network("resnet50");
    FAIL() << "accepted";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("model 'resnet50': neither a network of the zoo ("));
    EXPECT_THAT(error.what(), HasSubstr("seed"));
  }
}

}  // namespace
}  // namespace convoy
