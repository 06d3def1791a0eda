// Whole networks against PyTorch in double precision: one forward and backward pass of each, and twenty training
// steps. tests/golden/make_golden.py made the files; parameters and images are closed-form (support/golden.hpp).
#include "support/golden.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "nn/program.hpp"
#include "support/backends.hpp"
#include "support/places.hpp"
#include "train/device_set.hpp"
#include "train/step.hpp"

namespace convoy::test {
namespace {

constexpr int kClasses = 10;
constexpr int kSteps = 20;

Network load(const std::string& name) {
  const auto own = source_folder() / "tests" / "golden" / (name + ".json");
  Network network = load_network(std::filesystem::exists(own) ? own.string() : name);
  for (Layer& layer : network.layers) layer.rate = 0;  // no mask: PyTorch would draw another
  return network;
}

// PyTorch's shape: filters [O,I,H,W], dense rows [O, C*H*W].
std::vector<std::int64_t> torch_shape(const Parameter& parameter) {
  if (parameter.kind != ParameterKind::filters) return parameter.shape;
  return {parameter.shape[0], parameter.extent.channels, parameter.extent.height, parameter.extent.width};
}

// Where element `index` of the parameter as PyTorch counts it lies in ours. Written apart from the reader of weights
// files, which this then checks too.
std::size_t position_of(const Parameter& parameter, std::size_t index) {
  if (parameter.kind != ParameterKind::filters && parameter.kind != ParameterKind::dense) return index;
  const auto pixels = static_cast<std::size_t>(parameter.extent.height) * parameter.extent.width;
  const auto channels = static_cast<std::size_t>(parameter.extent.channels);
  const std::size_t output = index / (pixels * channels), channel = index / pixels % channels, pixel = index % pixels;
  return (output * pixels + pixel) * channels + channel;
}

bool is_fixed(const Parameter& parameter) {
  const bool normalises = parameter.kind == ParameterKind::scale || parameter.kind == ParameterKind::shift;
  return normalises && parameter.section == Section::frozen;
}

std::vector<float> closed_form(const Parameter& parameter) {
  if (is_fixed(parameter)) {
    return std::vector<float>(parameter.count, parameter.kind == ParameterKind::scale ? 1.0F : 0.0F);
  }
  return golden::parameter(parameter.name, torch_shape(parameter));
}

std::vector<float> closed_form_weights(const ParamLayout& layout) {
  std::vector<float> weights(layout.total_elements);
  for (const Parameter& parameter : layout.parameters) {
    const std::vector<float> values = closed_form(parameter);
    for (std::size_t i = 0; i < values.size(); ++i) weights[parameter.offset + position_of(parameter, i)] = values[i];
  }
  return weights;
}

// One tensor of a buffer laid out by ParamLayout, in PyTorch's order.
std::vector<float> torch_order(const Parameter& parameter, const std::vector<float>& buffer) {
  std::vector<float> values(parameter.count);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = buffer[parameter.offset + position_of(parameter, i)];
  return values;
}

ImageSet closed_form_images(const Extent& image, std::size_t count, int seed) {
  return {image, golden::images(0, count, static_cast<std::size_t>(image.elements()), seed),
          golden::labels(0, count, kClasses, seed)};
}

PixelScale pixels_of(const std::string& normalisation) {
  return normalisation == "unit" ? pixel_scale({0.0}, {1.0}, 3) : pixel_scale({0.5}, {0.25}, 3);
}

struct Pass {
  std::vector<float> logits;  // [batch, classes], scaled
  LossSums sums;
  std::vector<float> gradients;  // trainable_elements
  std::vector<float> weights;    // total_elements, with the new running statistics
};

Pass run_pass(Backend& backend, const Model& model, const golden::File& file) {
  const int batch = static_cast<int>(file.number("batch"));
  const ImageSet images = closed_form_images(model.shapes.input, batch, static_cast<int>(file.number("seed")));
  const DeviceSet set(backend, images);
  const PixelScale pixels = pixels_of(file.text("normalisation"));
  Program program(backend, lower(model.network, model.shapes, model.layout), model.layout, batch, Mode::train);

  const ParamLayout& layout = model.layout;
  Weights weights(backend, layout, "weights");
  weights.set(closed_form_weights(layout));
  const Arena activations = backend.allocate(program.activation_bytes(), "activations");
  const Arena copies = backend.allocate(program.weight_copy_bytes(), "compute copies");
  const Arena gradients = backend.allocate(layout.trainable_elements * sizeof(float), "gradients");
  const Arena narrow_gradients = backend.allocate(program.narrow_gradient_bytes(), "narrow gradients");
  const Arena scale = backend.allocate(pixels.scale.size() * sizeof(float), "pixel scale");
  const Arena offset = backend.allocate(pixels.offset.size() * sizeof(float), "pixel offset");
  const Arena row = backend.allocate(sizeof(StepRow), "row");
  const Arena sums = backend.allocate(sizeof(LossSums), "sums");
  StepRow step;
  step.count = batch;
  step.loss_weight = 1.0F / static_cast<float>(batch);
  backend.upload(row.data(), &step, sizeof step);
  backend.upload(scale.data(), pixels.scale.data(), scale.bytes());
  backend.upload(offset.data(), pixels.offset.data(), offset.bytes());

  const auto* current = static_cast<const StepRow*>(row.data());
  program.bind({.activations = activations.at(0),
                .weight_copies = copies.at(0),
                .weights = weights.data(),
                .narrow_weights = weights.narrow(),
                .gradients = gradients.floats(),
                .narrow_gradients = narrow_gradients.data(),
                .row = current,
                .order = set.source().order});
  weights.refresh_narrow();
  program.refresh_weight_copies();
  backend.prepare_input({.source = set.source(),
                         .image = set.image(),
                         .input = model.shapes.input,
                         .rows = batch,
                         .scale = scale.floats(),
                         .offset = offset.floats(),
                         .mode = Mode::train,
                         .augmentation = {},
                         .view = {},
                         .output = program.input(),
                         .row = current});
  program.forward();
  Pass pass;
  pass.logits.resize(static_cast<std::size_t>(batch) * kClasses);
  backend.download(pass.logits.data(), program.logits(), pass.logits.size() * sizeof(float));
  for (float& logit : pass.logits) logit *= program.network().logit_scale;
  backend.softmax_cross_entropy({.logits = program.logits(),
                                 .source = set.source(),
                                 .rows = batch,
                                 .classes = kClasses,
                                 .logit_scale = program.network().logit_scale,
                                 .smoothing = static_cast<float>(file.number("smoothing")),
                                 .gradient = program.logits_gradient(),
                                 .sums = static_cast<LossSums*>(sums.data()),
                                 .row = current});
  program.backward();
  backend.download(&pass.sums, sums.data(), sizeof pass.sums);
  pass.gradients.resize(layout.trainable_elements);
  backend.download(pass.gradients.data(), gradients.data(), gradients.bytes());
  pass.weights = weights.values();
  return pass;
}

double largest_magnitude(const std::vector<double>& values) {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

// PyTorch's own fp32 deviates from its fp64 by at most 7e-6 of a gradient's norm on these networks (`fp32_deviation` in
// the files); other orders of summation get twice that.
const BackendCase kPassCases[] = {
    {"cpu", Precision::fp32, 2e-5, "fp32 sums through up to 20 layers; see above"},
    {"cuda", Precision::fp32, 2e-5, "the same, TF32 off"},
};

class GoldenPass : public testing::TestWithParam<std::tuple<const char*, BackendCase>> {
 protected:
  // ResNet-18 has units so near to ReLU's corner that the rounding of Winograd's convolutions, a few times that of
  // direct ones such as PyTorch's, takes them over it with some orders of summation; then gradients differ by 1e-3.
  void SetUp() override {
    const auto& [name, backend_case] = GetParam();
    const std::string reason = reason_to_skip(backend_case);
    if (!reason.empty()) GTEST_SKIP() << reason;
    if (name == std::string_view("resnet18")) setenv("CONVOY_CPU_WINOGRAD", "0", 1);
  }
  void TearDown() override { unsetenv("CONVOY_CPU_WINOGRAD"); }
};

TEST_P(GoldenPass, the_closed_form_is_what_pytorch_was_given) {
  const golden::File file(std::get<0>(GetParam()));
  const Model model = make_model(load(file.text("network")), kClasses, 3);
  const ImageSet images = closed_form_images(model.shapes.input, static_cast<std::size_t>(file.number("batch")),
                                             static_cast<int>(file.number("seed")));
  constexpr double kRounding = 1e-12;  // of the sums of up to two million doubles; the terms are equal to the bit
  EXPECT_LE(golden::difference(file, "pixels", {images.images.begin(), images.images.end()}), kRounding);
  for (const Parameter& parameter : model.layout.parameters) {
    if (parameter.section == Section::statistics) continue;
    const std::string name = "parameter." + parameter.name;
    if (is_fixed(parameter) && !file.has(name + ".norm")) continue;
    EXPECT_LE(golden::difference(file, name, closed_form(parameter)), kRounding) << parameter.name;
  }
}

TEST_P(GoldenPass, logits_loss_gradients_and_statistics_equal_pytorchs) {
  const auto& [name, backend_case] = GetParam();
  const golden::File file(name);
  const Model model = make_model(load(file.text("network")), kClasses, 3);
  const std::unique_ptr<Backend> backend = make_backend_for_test(backend_case.backend, backend_case.precision);
  const Pass pass = run_pass(*backend, model, file);

  const std::vector<double> logits = file.values("logits");
  ASSERT_EQ(logits.size(), pass.logits.size());
  const double scale = largest_magnitude(logits);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    EXPECT_NEAR(pass.logits[i], logits[i], backend_case.tolerance * scale) << "logit " << i;
  }
  const double loss = file.value("loss");
  EXPECT_NEAR(pass.sums.loss / static_cast<double>(pass.sums.samples), loss, backend_case.tolerance * loss);

  std::size_t gradients = 0, statistics = 0;
  for (const Parameter& parameter : model.layout.parameters) {
    if (parameter.trainable()) {
      ++gradients;
      EXPECT_LE(golden::difference(file, "gradient." + parameter.name, torch_order(parameter, pass.gradients)),
                backend_case.tolerance)
          << "gradient of " << parameter.name;
    } else if (parameter.section == Section::statistics) {
      ++statistics;
      EXPECT_LE(golden::difference(file, parameter.name, torch_order(parameter, pass.weights)), backend_case.tolerance)
          << parameter.name;
    }
  }
  EXPECT_EQ(gradients, file.names_under("gradient.").size()) << "other parameters are trainable in PyTorch";
  EXPECT_EQ(gradients + statistics + file.names_under("parameter.").size(), file.names_under("").size() - 1)
      << "the file holds tensors that the network lacks";
}

INSTANTIATE_TEST_SUITE_P(Networks, GoldenPass,
                         testing::Combine(testing::Values("seed", "airbench94", "airbench_narrow", "resnet18", "tiny"),
                                          testing::ValuesIn(kPassCases)),
                         [](const auto& one) {
                           return std::string(std::get<0>(one.param)) + "_on_" + name(std::get<1>(one.param));
                         });

// The settings of make_golden.py: everything by one optimizer, but for Muon only the 3x3 filters.
RunConfig config_of(const std::string& kind, const golden::File& file) {
  const auto rate = [&](const std::string& key) { return file.number("rate." + key); };
  RunConfig config;
  if (kind == "adam") {
    config.optimizer.optimizer = OptimizerKind::adam;
    config.optimizer.learning_rate = rate("adam");
    return config;
  }
  config.optimizer.optimizer = OptimizerKind::sgd;
  config.optimizer.learning_rate = rate("nesterov");
  config.optimizer.momentum = file.number("momentum.nesterov");
  config.optimizer.nesterov = true;
  if (kind == "muon") {
    GroupSettings filters = config.optimizer;
    filters.optimizer = OptimizerKind::muon;
    filters.learning_rate = rate("muon");
    filters.momentum = file.number("momentum.muon");
    filters.muon_iterations = static_cast<int>(file.number("muon_iterations"));
    config.groups["filters"] = {filters, {"learning-rate", "momentum", "muon-iterations", "optimizer"}};
  }
  return config;
}

std::vector<double> loss_curve(Backend& backend, const std::string& network, const std::string& kind,
                               const golden::File& file) {
  const Model model = make_model(load(network), kClasses, 3);
  const RunConfig config = config_of(kind, file);
  const int batch = static_cast<int>(file.number(network + ".batch"));
  const int batches = static_cast<int>(file.number("batches"));
  const int seed = static_cast<int>(file.number(network + "." + kind + ".seed"));
  const ImageSet images = closed_form_images(model.shapes.input, static_cast<std::size_t>(batch) * batches, seed);
  DeviceSet set(backend, images);
  Weights weights(backend, model.layout, "weights", moments_needed(model.layout, config));
  weights.set(closed_form_weights(model.layout));
  TrainStep step(backend, model, config, weights, set, pixels_of(file.text(network + ".normalisation")));
  const StepVariant variant{batch, {}};
  step.prepare({variant});

  const std::vector<GroupRate> rates = group_rates(model.layout, config, kSteps);
  std::vector<StepRow> rows(kSteps);
  for (int s = 0; s < kSteps; ++s) {
    rows[s].step = s;
    rows[s].first = s % batches * batch;
    rows[s].count = batch;
    rows[s].loss_weight = 1.0F / static_cast<float>(batch);
    fill_rates(rates, s, kSteps, rows[s]);
  }
  step.set_rows(rows);
  std::vector<double> losses;
  for (int s = 0; s < kSteps; ++s) {
    step.run(variant);
    const LossSums sums = step.take_sums();
    losses.push_back(sums.loss / static_cast<double>(sums.samples));
  }
  return losses;
}

// Rounding moves these curves by at most 1.3e-6 (`deviation` in the file).
const BackendCase kCurveCases[] = {
    {"cpu", Precision::fp32, 2e-6, "a little more than what rounding does to PyTorch's curves"},
    {"cuda", Precision::fp32, 2e-6, "the same, TF32 off"},
};

class GoldenCurve : public testing::TestWithParam<std::tuple<const char*, const char*, BackendCase>> {
 protected:
  void SetUp() override {
    const std::string reason = reason_to_skip(std::get<BackendCase>(GetParam()));
    if (!reason.empty()) GTEST_SKIP() << reason;
  }
};

TEST_P(GoldenCurve, twenty_steps_lose_what_they_lose_in_pytorch) {
  const auto& [network, kind, backend_case] = GetParam();
  const golden::File file("curves");
  const std::vector<double> expected = file.values(std::string(network) + "." + kind);
  ASSERT_EQ(expected.size(), static_cast<std::size_t>(kSteps));
  const std::unique_ptr<Backend> backend = make_backend_for_test(backend_case.backend, backend_case.precision);
  const std::vector<double> losses = loss_curve(*backend, network, kind, file);
  for (int s = 0; s < kSteps; ++s) {
    EXPECT_NEAR(losses[s], expected[s], backend_case.tolerance * expected[s]) << "step " << s;
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, GoldenCurve,
                         testing::Combine(testing::Values("tiny", "seed"), testing::Values("nesterov", "adam", "muon"),
                                          testing::ValuesIn(kCurveCases)),
                         [](const auto& one) {
                           return std::string(std::get<0>(one.param)) + "_" + std::get<1>(one.param) + "_on_" +
                                  name(std::get<2>(one.param));
                         });

}  // namespace
}  // namespace convoy::test
