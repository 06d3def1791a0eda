// Lowering: which layers become one operation, which tensors and gradients there are, and that fusing changes nothing.
#include "nn/lower.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "convoy/error.hpp"
#include "io/embedded.hpp"
#include "nn/describe.hpp"
#include "nn/initialise.hpp"
#include "reference/operations.hpp"

namespace convoy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Lowered {
  Network network;
  Shapes shapes;
  ParamLayout layout;
  LoweredNetwork result;

  const LoweredOperation& named(std::string_view name) const {
    for (const LoweredOperation& operation : result.operations)
      if (operation.name == name) return operation;
    throw std::out_of_range("no operation " + std::string(name));
  }
  template <typename Spec>
  const Spec& spec(std::string_view name) const {
    return std::get<Spec>(named(name).spec);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const LoweredOperation& operation : result.operations) all.push_back(operation.name);
    return all;
  }
};

Lowered lower_all(Network network, const LowerOptions& options = {}, int classes = 10, int channels = 3) {
  Lowered all;
  all.network = std::move(network);
  all.shapes = infer_shapes(all.network, classes, channels);
  all.layout = make_layout(all.network, all.shapes);
  all.result = lower(all.network, all.shapes, all.layout, options);
  return all;
}

Network network_of(const std::string& layers, const std::string& input = "[8, 8, 3]") {
  return parse_network(R"({"name": "tiny", "input": )" + input + R"(, "layers": [)" + layers +
                           R"(, {"name": "head", "type": "dense", "outputs": "classes"}]})",
                       "tiny.json");
}

Lowered lower_layers(const std::string& layers, const LowerOptions& options = {}) {
  return lower_all(network_of(layers), options);
}

const char* const kConvolution = R"({"name": "c", "type": "convolution", "filters": 4, "kernel": 3, "padding": 1})";

std::string layer(const std::string& name, const std::string& type, const std::string& options = "") {
  return R"({"name": ")" + name + R"(", "type": ")" + type + "\"" + (options.empty() ? "" : ", " + options) + "}";
}

TEST(Lower, the_seed_network_becomes_eight_operations) {
  const Lowered seed = lower_all(load_network("seed"));
  EXPECT_THAT(seed.names(), ElementsAre("conv1", "relu1", "conv2", "relu2", "conv3", "dense1", "dropout", "dense2"));
  EXPECT_EQ(seed.spec<ConvSpec>("conv1").activation, Activation::none);
  EXPECT_EQ(seed.spec<ConvSpec>("conv3").activation, Activation::relu);
  EXPECT_EQ(seed.spec<DenseSpec>("dense1").activation, Activation::relu);
  EXPECT_EQ(seed.spec<DenseSpec>("dense1").input, (Extent{4, 4, 128}));
  EXPECT_FALSE(seed.spec<DenseSpec>("dense1").float_output);
  EXPECT_TRUE(seed.spec<DenseSpec>("dense2").float_output);
  EXPECT_EQ(seed.spec<DropoutSpec>("dropout").salt, 11U);
  EXPECT_EQ(seed.result.logit_scale, 1.0F);
  EXPECT_EQ(seed.result.classes, 10);
}

TEST(Lower, relu_before_a_tiling_max_pool_moves_behind_it) {
  const Lowered seed = lower_all(load_network("seed"));
  const auto& epilogue = seed.spec<EpilogueSpec>("relu1");
  EXPECT_EQ(epilogue.pool, 2);
  EXPECT_EQ(epilogue.activation, Activation::relu);
  EXPECT_EQ(epilogue.input, (Extent{30, 30, 32}));
  EXPECT_EQ(epilogue.output, (Extent{15, 15, 32}));
  EXPECT_THAT(seed.named("relu1").layers, ElementsAre("relu1", "pool1"));

  const Lowered pool_first = lower_layers(std::string(kConvolution) + "," + layer("p", "max_pool", "\"kernel\": 2") +
                                          "," + layer("r", "relu"));
  EXPECT_EQ(pool_first.spec<EpilogueSpec>("p").pool, 2);
  EXPECT_EQ(pool_first.spec<EpilogueSpec>("p").activation, Activation::relu);
}

TEST(Lower, relu_before_an_overlapping_pool_stays_in_the_convolution) {
  const Lowered lowered = lower_layers(std::string(kConvolution) + "," + layer("r", "relu") + "," +
                                       layer("p", "max_pool", "\"kernel\": 3, \"stride\": 2, \"padding\": 1"));
  EXPECT_EQ(lowered.spec<ConvSpec>("c").activation, Activation::relu);
  const auto& pool = lowered.spec<PoolSpec>("p");
  EXPECT_EQ(pool.kernel, (Size2{3, 3}));
  EXPECT_EQ(pool.stride, (Size2{2, 2}));
  EXPECT_EQ(pool.padding, (Padding{1, 1, 1, 1}));
  EXPECT_EQ(pool.output, (Extent{4, 4, 4}));
}

TEST(Lower, airbench_groups_become_convolution_and_epilogue_twice) {
  const Lowered airbench = lower_all(load_network("airbench94"));
  EXPECT_EQ(airbench.result.operations.size(), 16U);
  const auto& first = airbench.spec<EpilogueSpec>("layers.1.norm1");
  EXPECT_EQ(first.pool, 2);
  EXPECT_TRUE(first.normalise);
  EXPECT_FLOAT_EQ(first.epsilon, 1e-12F);
  EXPECT_FLOAT_EQ(first.statistics_momentum, 0.4F);
  EXPECT_FALSE(first.scale_gradient);
  EXPECT_TRUE(first.shift_gradient);
  EXPECT_EQ(first.activation, Activation::gelu);
  EXPECT_FALSE(airbench.spec<ConvSpec>("whiten").weights_gradient);
  EXPECT_EQ(airbench.spec<EpilogueSpec>("layers.0").activation, Activation::gelu);
  EXPECT_EQ(airbench.spec<PoolSpec>("layers.4").kind, PoolSpec::Kind::max);
  EXPECT_EQ(airbench.result.logit_scale, 1.0F / 256);
  const LoweredOperation& norm = airbench.named("layers.1.norm1");
  const auto parameter = [&](int index) { return airbench.layout.parameters.at(static_cast<std::size_t>(index)).name; };
  EXPECT_EQ(parameter(norm.weights), "layers.1.norm1.weight");
  EXPECT_EQ(parameter(norm.bias), "layers.1.norm1.bias");
  EXPECT_EQ(parameter(norm.running_mean), "layers.1.norm1.running_mean");
  EXPECT_EQ(parameter(norm.running_variance), "layers.1.norm1.running_var");
}

TEST(Lower, freezing_the_whitening_bias_ends_the_backward_pass_at_the_next_convolution) {
  const auto is_whitening_bias = [](const Parameter& p) { return p.name == "whiten.bias"; };
  const Lowered trained = lower_all(load_network("airbench94"));
  const Lowered frozen = lower_all(load_network("airbench94"), {.frozen = is_whitening_bias});
  EXPECT_TRUE(trained.named("layers.0").backward);
  EXPECT_TRUE(trained.spec<ConvSpec>("layers.1.conv1").input_gradient);
  EXPECT_FALSE(frozen.named("whiten").backward || frozen.named("layers.0").backward);
  EXPECT_FALSE(frozen.spec<ConvSpec>("whiten").bias_gradient);
  EXPECT_FALSE(frozen.spec<EpilogueSpec>("layers.0").bias_gradient);
  EXPECT_FALSE(frozen.spec<ConvSpec>("layers.1.conv1").input_gradient);
  EXPECT_TRUE(frozen.spec<ConvSpec>("layers.1.conv1").weights_gradient);
  EXPECT_TRUE(frozen.spec<EpilogueSpec>("layers.1.norm1").input_gradient);
  EXPECT_EQ(frozen.names(), trained.names());
}

TEST(Lower, the_gradient_of_a_bias_alone_is_taken_by_the_smooth_activation_behind_it) {
  const Lowered airbench = lower_all(load_network("airbench94"));
  const LoweredOperation& whiten = airbench.named("whiten");
  const LoweredOperation& activation = airbench.named("layers.0");
  EXPECT_FALSE(whiten.backward || airbench.spec<ConvSpec>("whiten").bias_gradient);
  EXPECT_FALSE(airbench.result.tensors.at(static_cast<std::size_t>(whiten.output)).gradient);
  EXPECT_TRUE(activation.backward && airbench.spec<EpilogueSpec>("layers.0").bias_gradient);
  EXPECT_FALSE(airbench.spec<EpilogueSpec>("layers.0").input_gradient);
  EXPECT_EQ(activation.bias, whiten.bias);

  // A pool between them, another reader, filters that train: the bias is the convolution's own.
  const std::string frozen = layer("c", "convolution", R"("filters": 4, "kernel": 3, "frozen": "weights")");
  const std::string open = layer("c", "convolution", R"("filters": 4, "kernel": 3)");
  const std::string gelu = "," + layer("g", "gelu"), pool = "," + layer("p", "max_pool", "\"kernel\": 2");
  const std::string sum = "," + layer("sum", "add", R"("from": ["c", "g"])");
  for (const std::string& layers : {frozen + pool + gelu, frozen + gelu + sum, open + gelu}) {
    SCOPED_TRACE(layers);
    const Lowered lowered = lower_layers(layers);
    EXPECT_TRUE(lowered.named("c").backward && lowered.spec<ConvSpec>("c").bias_gradient);
  }
}

TEST(Lower, resnet_blocks_add_inside_the_last_normalisation) {
  const Lowered resnet = lower_all(load_network("resnet18"));
  const LoweredOperation& identity = resnet.named("layer1.0.bn2");
  EXPECT_THAT(identity.layers, ElementsAre("layer1.0.bn2", "layer1.0.add", "layer1.0.relu2"));
  EXPECT_EQ(identity.residual, resnet.named("bn1").output);
  const auto& spec = std::get<EpilogueSpec>(identity.spec);
  EXPECT_TRUE(spec.normalise && spec.residual && spec.residual_gradient);
  EXPECT_EQ(spec.activation, Activation::relu);

  const LoweredOperation& projection = resnet.named("layer2.0.downsample.1");
  EXPECT_THAT(projection.layers, ElementsAre("layer2.0.downsample.1", "layer2.0.add", "layer2.0.relu2"));
  EXPECT_EQ(projection.residual, resnet.named("layer2.0.bn2").output);
  EXPECT_FALSE(resnet.spec<EpilogueSpec>("layer2.0.bn2").residual);
  EXPECT_EQ(resnet.spec<EpilogueSpec>("layer2.0.bn2").activation, Activation::none);

  const LoweredTensor& block_input = resnet.result.tensors.at(static_cast<std::size_t>(identity.output));
  EXPECT_EQ(block_input.readers.size(), 2U);
  EXPECT_EQ(resnet.spec<PoolSpec>("avgpool").kernel, (Size2{4, 4}));
}

TEST(Lower, a_tensor_with_two_readers_is_not_fused_away) {
  const Lowered lowered = lower_layers(std::string(kConvolution) + "," + layer("r", "relu") + "," +
                                       layer("sum", "add", R"("from": ["c", "r"])"));
  EXPECT_EQ(lowered.spec<ConvSpec>("c").activation, Activation::none);
  EXPECT_THAT(lowered.names(), ElementsAre("c", "r", "sum", "head"));
  EXPECT_THAT(lowered.result.tensors.at(1).readers, ElementsAre(1, 2));
}

TEST(Lower, gelu_and_silu_keep_an_operation_of_their_own_behind_convolution_and_dense) {
  for (const char* activation : {"gelu", "silu"}) {
    const Lowered lowered = lower_layers(std::string(kConvolution) + "," + layer("a", activation) + "," +
                                         layer("d", "dense", "\"outputs\": 6") + "," + layer("b", activation));
    EXPECT_THAT(lowered.names(), ElementsAre("c", "a", "d", "b", "head"));
    EXPECT_EQ(lowered.spec<ConvSpec>("c").activation, Activation::none);
    EXPECT_EQ(lowered.spec<DenseSpec>("d").activation, Activation::none);
    EXPECT_EQ(lowered.spec<EpilogueSpec>("b").input, (Extent{1, 1, 6}));
  }
}

TEST(Lower, evaluation_has_no_gradients_and_no_dropout) {
  const Lowered seed = lower_all(load_network("seed"), {.mode = Mode::evaluate});
  EXPECT_THAT(seed.names(), ElementsAre("conv1", "relu1", "conv2", "relu2", "conv3", "dense1", "dense2"));
  for (const LoweredOperation& operation : seed.result.operations) EXPECT_FALSE(operation.backward);
  for (const LoweredTensor& tensor : seed.result.tensors) EXPECT_FALSE(tensor.gradient);
  EXPECT_EQ(seed.named("dense2").weights, lower_all(load_network("seed")).named("dense2").weights);
}

TEST(Lower, the_networks_input_has_no_gradient) {
  const Lowered seed = lower_all(load_network("seed"));
  EXPECT_FALSE(seed.result.tensors.at(0).gradient);
  EXPECT_FALSE(seed.spec<ConvSpec>("conv1").input_gradient);
  EXPECT_TRUE(seed.spec<ConvSpec>("conv1").weights_gradient);
  EXPECT_TRUE(seed.spec<EpilogueSpec>("relu1").input_gradient);
}

TEST(Lower, the_group_size_reaches_every_normalisation) {
  const Lowered lowered = lower_all(load_network("resnet18"), {.normalisation_group = 64});
  for (const LoweredOperation& operation : lowered.result.operations) {
    const auto* epilogue = std::get_if<EpilogueSpec>(&operation.spec);
    if (epilogue == nullptr) continue;
    EXPECT_EQ(epilogue->group_size, 64) << operation.name;
  }
}

TEST(Lower, adding_a_tensor_to_itself_through_an_alias_is_refused) {
  try {
    lower_layers(layer("d", "dense", "\"outputs\": 4") + "," + layer("f", "flatten") + "," +
                 layer("sum", "add", R"("from": ["d", "f"])"));
    FAIL() << "accepted";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("tiny.json: layer 'sum': it adds a tensor to itself"));
  }
}

TEST(Lower, tensors_and_operations_agree_for_every_zoo_network_on_100_classes_and_grey) {
  for (const EmbeddedFile& file : embedded_networks()) {
    for (const int channels : {1, 3}) {
      const Lowered all = lower_all(load_network(std::string(file.name)), {}, 100, channels);
      const LoweredNetwork& net = all.result;
      EXPECT_EQ(net.tensors.at(static_cast<std::size_t>(net.logits)).extent, (Extent{1, 1, 100}));
      EXPECT_EQ(net.tensors.at(static_cast<std::size_t>(net.input)).extent, all.shapes.input);
      std::set<std::string> names;
      std::set<int> parameters;
      for (std::size_t i = 0; i < net.operations.size(); ++i) {
        const LoweredOperation& operation = net.operations[i];
        EXPECT_TRUE(names.insert(operation.name).second) << operation.name;
        EXPECT_EQ(net.tensors.at(static_cast<std::size_t>(operation.output)).producer, static_cast<int>(i));
        for (const int read : {operation.input, operation.residual}) {
          if (read < 0) continue;
          const LoweredTensor& tensor = net.tensors.at(static_cast<std::size_t>(read));
          EXPECT_LT(tensor.producer, static_cast<int>(i)) << operation.name << " reads what comes later";
          EXPECT_THAT(tensor.readers, ::testing::Contains(static_cast<int>(i)));
        }
        const auto* epilogue = std::get_if<EpilogueSpec>(&operation.spec);
        const int anothers = epilogue != nullptr && epilogue->bias_gradient ? operation.bias : -1;
        for (const int p : {operation.weights, operation.bias, operation.running_mean, operation.running_variance}) {
          const bool is_new = p < 0 || parameters.insert(p).second;
          EXPECT_EQ(is_new, p < 0 || p != anothers) << operation.name;
        }
      }
      EXPECT_EQ(parameters.size(), all.layout.parameters.size()) << "every parameter belongs to one operation";
    }
  }
}

// Each layer alone, by the reference loops: what the fused operations must equal.
class LayerByLayer {
 public:
  LayerByLayer(const Lowered& all, const std::vector<float>& weights, int batch, reference::Arguments common)
      : all_(all), weights_(weights), batch_(batch), common_(std::move(common)) {}

  reference::Values logits(Mode mode) {
    const reference::Values input = common_.input;
    std::vector<reference::Values> outputs;
    for (std::size_t i = 0; i < all_.network.layers.size(); ++i) {
      const Layer& self = all_.network.layers[i];
      const auto read = [&](std::size_t which) {
        return self.inputs[which] == kNetworkInput ? input : outputs[static_cast<std::size_t>(self.inputs[which])];
      };
      reference::Arguments arguments = common_;
      arguments.input = read(0);
      if (self.type == LayerType::add) arguments.residual = read(1);
      arguments.weights = values(i, {ParameterKind::filters, ParameterKind::dense, ParameterKind::scale});
      arguments.bias = values(i, {ParameterKind::bias, ParameterKind::shift});
      arguments.running_mean = values(i, {ParameterKind::running_mean});
      arguments.running_variance = values(i, {ParameterKind::running_variance});
      const bool is_alias = self.type == LayerType::flatten || self.type == LayerType::scale;
      outputs.push_back(is_alias ? arguments.input : reference::forward(spec(i), batch_, mode, arguments).output);
    }
    return outputs.back();
  }

  reference::Values values(std::size_t index, std::initializer_list<ParameterKind> kinds) const {
    for (const ParameterKind kind : kinds)
      if (const int p = all_.layout.of_layer(static_cast<int>(index), kind); p >= 0) return values(p);
    return {};
  }
  reference::Values values(int parameter) const {
    if (parameter < 0) return {};
    const Parameter& p = all_.layout.parameters[static_cast<std::size_t>(parameter)];
    const auto first = weights_.begin() + static_cast<std::ptrdiff_t>(p.offset);
    return {first, first + static_cast<std::ptrdiff_t>(p.count)};
  }

 private:
  OperationSpec spec(std::size_t i) const {
    const Layer& self = all_.network.layers[i];
    const LayerShape& shape = all_.shapes.layers[i];
    const Extent in = all_.shapes.input_of(self).output;
    EpilogueSpec epilogue{.input = in, .output = shape.output};
    switch (self.type) {
      case LayerType::convolution:
        return ConvSpec{in, shape.output, self.kernel, self.stride, shape.padding, self.bias};
      case LayerType::dense:
        return DenseSpec{in, shape.outputs, self.bias};
      case LayerType::dropout:
        return DropoutSpec{in, self.rate, static_cast<std::uint32_t>(i)};
      case LayerType::batch_normalisation:
        epilogue.normalise = true;
        epilogue.epsilon = self.epsilon;
        epilogue.statistics_momentum = self.momentum;
        return epilogue;
      case LayerType::add:
        epilogue.residual = true;
        return epilogue;
      case LayerType::relu:
        epilogue.activation = Activation::relu;
        return epilogue;
      case LayerType::gelu:
        epilogue.activation = Activation::gelu;
        return epilogue;
      case LayerType::silu:
        epilogue.activation = Activation::silu;
        return epilogue;
      case LayerType::max_pool:
        return PoolSpec{in, shape.output, PoolSpec::Kind::max, self.kernel, self.stride, shape.padding};
      case LayerType::average_pool:
        return PoolSpec{in, shape.output, PoolSpec::Kind::average, self.kernel, self.stride, shape.padding};
      case LayerType::global_average_pool:
      case LayerType::global_max_pool: {
        const Size2 all{in.height, in.width};
        const bool is_max = self.type == LayerType::global_max_pool;
        return PoolSpec{in, shape.output, is_max ? PoolSpec::Kind::max : PoolSpec::Kind::average, all, all, {}};
      }
      default:
        throw std::logic_error("an alias has no operation");
    }
  }

  const Lowered& all_;
  const std::vector<float>& weights_;
  int batch_;
  reference::Arguments common_;
};

reference::Values run_lowered(const Lowered& all, const LayerByLayer& parameters, int batch, Mode mode,
                              const reference::Arguments& common) {
  std::vector<reference::Values> tensors(all.result.tensors.size());
  tensors[0] = common.input;
  for (const LoweredOperation& operation : all.result.operations) {
    reference::Arguments arguments = common;
    arguments.input = tensors[static_cast<std::size_t>(operation.input)];
    if (operation.residual >= 0) arguments.residual = tensors[static_cast<std::size_t>(operation.residual)];
    arguments.weights = parameters.values(operation.weights);
    arguments.bias = parameters.values(operation.bias);
    arguments.running_mean = parameters.values(operation.running_mean);
    arguments.running_variance = parameters.values(operation.running_variance);
    tensors[static_cast<std::size_t>(operation.output)] =
        reference::forward(operation.spec, batch, mode, arguments).output;
  }
  return tensors[static_cast<std::size_t>(all.result.logits)];
}

// Every pattern of fusion at once, and what must not be fused.
const char* const kEverything = R"(
    {"name": "c1", "type": "convolution", "filters": 6, "kernel": 3, "padding": "same"},
    {"name": "r1", "type": "relu"},
    {"name": "p1", "type": "max_pool", "kernel": 2},
    {"name": "c2", "type": "convolution", "filters": 6, "kernel": 3, "padding": 1, "bias": false},
    {"name": "n2", "type": "batch_normalisation"},
    {"name": "c3", "type": "convolution", "filters": 6, "kernel": 1, "from": "p1"},
    {"name": "n3", "type": "batch_normalisation", "momentum": 0.4},
    {"name": "add3", "type": "add", "from": ["n3", "n2"]},
    {"name": "g3", "type": "gelu"},
    {"name": "c4", "type": "convolution", "filters": 6, "kernel": 3, "padding": "same"},
    {"name": "r4", "type": "relu"},
    {"name": "add4", "type": "add", "from": ["g3", "r4"]},
    {"name": "s4", "type": "silu"},
    {"name": "c5", "type": "convolution", "filters": 8, "kernel": 1},
    {"name": "p5", "type": "max_pool", "kernel": 3, "stride": 2, "padding": 1},
    {"name": "c6", "type": "convolution", "filters": 8, "kernel": 2, "padding": "same", "bias": false, "from": "s4"},
    {"name": "p6", "type": "max_pool", "kernel": 2},
    {"name": "n6", "type": "batch_normalisation"},
    {"name": "add6", "type": "add", "from": ["p5", "n6"]},
    {"name": "r6", "type": "relu"},
    {"name": "a7", "type": "average_pool", "kernel": 3, "stride": 1, "padding": 1},
    {"name": "flatten", "type": "flatten"},
    {"name": "d8", "type": "dense", "outputs": 12},
    {"name": "r8", "type": "relu"},
    {"name": "drop", "type": "dropout", "rate": 0.3})";

class FusedOrNot : public ::testing::TestWithParam<Mode> {};

TEST_P(FusedOrNot, operations_compute_what_the_layers_say) {
  const Mode mode = GetParam();
  const int batch = 3;
  const Lowered all = lower_all(network_of(kEverything), {.mode = mode});
  std::vector<std::string> expected = {"c1", "r1", "c2", "n2", "c3", "n3", "c4",   "add4",
                                       "c5", "p5", "c6", "n6", "a7", "d8", "drop", "head"};
  if (mode == Mode::evaluate) std::erase(expected, "drop");
  EXPECT_EQ(all.names(), expected);

  std::vector<float> weights = initial_weights(all.layout, 7);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] += 0.1F * static_cast<float>(std::sin(0.7 * i));
  for (const Parameter& p : all.layout.parameters)  // negative scales: where ReLU and pooling do not commute with it
    if (p.kind == ParameterKind::scale)
      for (std::size_t i = 0; i < p.count; i += 2) weights[p.offset + i] *= -1;

  reference::Arguments common;
  common.row.seed = 3;
  common.row.count = batch;
  common.order = {5, 2, 9};
  common.input.resize(reference::elements(batch, all.shapes.input));
  for (std::size_t i = 0; i < common.input.size(); ++i) common.input[i] = std::sin(1.3 * static_cast<double>(i));

  LayerByLayer layers(all, weights, batch, common);
  const reference::Values unfused = layers.logits(mode), fused = run_lowered(all, layers, batch, mode, common);
  ASSERT_EQ(fused.size(), 30U);
  ASSERT_EQ(unfused.size(), fused.size());
  for (std::size_t i = 0; i < fused.size(); ++i) EXPECT_NEAR(fused[i], unfused[i], 1e-12);
  EXPECT_GT(std::abs(fused[0] - fused[10]), 1e-6) << "the samples' logits must differ for this to say anything";
}

INSTANTIATE_TEST_SUITE_P(Modes, FusedOrNot, ::testing::Values(Mode::train, Mode::evaluate),
                         [](const auto& mode) { return mode.param == Mode::train ? "train" : "evaluate"; });

TEST(Describe, the_table_names_parameters_groups_work_and_operations) {
  const Lowered seed = lower_all(load_network("seed"));
  const std::string text = describe(seed.network, seed.shapes, seed.layout, seed.result);
  EXPECT_THAT(text, HasSubstr("parameters: 356,810 (356,810 trainable); groups: filters 93,024"));
  EXPECT_THAT(text, HasSubstr("30x30x32 -> 15x15x32  max-pool 2, relu"));
  EXPECT_THAT(text, HasSubstr("dense, bias, fp32 logits"));
}

TEST(Describe, work_counts_multiply_adds_twice_and_no_gradient_of_the_input) {
  const Lowered seed = lower_all(load_network("seed"));
  const double conv1 = 2.0 * 30 * 30 * 32 * 27, conv2 = 2.0 * 13 * 13 * 64 * 288, conv3 = 2.0 * 4 * 4 * 128 * 576;
  const double dense = 2.0 * 2048 * 128 + 2.0 * 128 * 10;
  EXPECT_EQ(flops(seed.result).forward, conv1 + conv2 + conv3 + dense);
  EXPECT_EQ(flops(seed.result).training, 2 * conv1 + 3 * (conv2 + conv3 + dense));
}

}  // namespace
}  // namespace convoy
