// See selftest.hpp.
#include "train/selftest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "convoy/error.hpp"
#include "data/load.hpp"
#include "io/embedded.hpp"
#include "nn/describe.hpp"
#include "nn/initialise.hpp"
#include "nn/lower.hpp"
#include "train/device_set.hpp"
#include "train/operation_trial.hpp"
#include "train/picture_extent.hpp"
#include "train/plan.hpp"
#include "train/step.hpp"

namespace convoy {
namespace {

constexpr int kTrialBatch = 6;  // odd shares of any tile
constexpr int kStepBatch = 16;  // enough for every normalisation to have a variance
constexpr int kClasses = 10, kChannels = 3;
constexpr std::uint64_t kSeed = 2026;

// Relative errors of whole tensors. Of one operation: inputs have the compute type's bits, so what is left is the sums'
// order (fp32: 2^-24 times the root of at most 5,000 terms, with a factor of 3), the products' inputs (tf32: 2^-11
// each), and the rounding of results, at most two in a row (bf16: 2^-9, fp16: 2^-12). Of a whole step the gradient
// gathers those of up to 20 layers, and ReLUs whose argument rounding took over the corner: in bf16 0.28 for resnet18
// between the CPU's own bf16 and fp32, a quarter of that where rounding is a quarter; an unrelated gradient is 1.4.
struct Tolerance {
  Precision precision;
  double operation, loss, gradient;
};
constexpr Tolerance kTolerances[] = {
    {Precision::fp32, 1.5e-5, 1e-5, 2e-3},
    {Precision::tf32, 2e-3, 2e-3, 1.3e-1},
    {Precision::bf16, 5e-3, 1e-2, 5e-1},
    {Precision::fp16, 7e-4, 2e-3, 1.3e-1},
};

const Tolerance& tolerance_of(const Backend& backend) {
  return *std::ranges::find(kTolerances, backend.info().precision, &Tolerance::precision);
}

SelftestRow compare_operation(Backend& backend, Backend& reference, const OperationSpec& spec) {
  const TrialTensors given = trial_tensors(backend, spec, kTrialBatch, kSeed);
  const TrialResults expected = run_trial(reference, spec, kTrialBatch, given);
  const TrialResults found = run_trial(backend, spec, kTrialBatch, given);
  SelftestRow row;
  row.tolerance = tolerance_of(backend).operation;
  for (const auto& [name, values] : expected) {
    const double error = relative_error(found.at(name), values);
    if (row.quantity.empty() || error > row.error) {
      row.error = error;
      row.quantity = name;
    }
  }
  return row;
}

struct StepOutcome {
  double loss = 0;
  std::vector<float> gradients;
};

StepOutcome take_step(Backend& backend, const Model& model, const Dataset& data) {
  RunConfig config;
  config.batch = kStepBatch;
  config.epochs = 1;
  config.seed = kSeed;
  Weights weights(backend, model.layout, "weights", moments_needed(model.layout, config));
  weights.set(initial_weights(model.layout, kSeed));
  DeviceSet set(backend, data.train);
  const StepPlan plan(config, model.layout, kStepBatch, 0, 1);
  TrainStep step(backend, model, config, weights, set,
                 pixel_scale({0.5, 0.5, 0.5}, {0.25, 0.25, 0.25}, model.shapes.input.channels));
  step.prepare({plan.variant(0)});
  step.set_rows(plan.rows(0));
  step.set_loss_scale({.scale = 1});  // the reference's gradients are not scaled
  step.run_gradients(plan.variant(0));
  StepOutcome outcome;
  const LossSums sums = step.take_sums();
  outcome.loss = sums.loss / static_cast<double>(sums.samples);
  outcome.gradients.resize(model.layout.trainable_elements);
  backend.download(outcome.gradients.data(), step.gradients(), outcome.gradients.size() * sizeof(float));
  return outcome;
}

std::vector<SelftestRow> compare_step(Backend& backend, Backend& reference, const Model& model) {
  const Dataset data =
      load_dataset({.path = fmt::format("synthetic:{}", kStepBatch), .pictures = pictures_for(model.network)});
  const StepOutcome expected = take_step(reference, model, data), found = take_step(backend, model, data);
  const Tolerance& tolerance = tolerance_of(backend);
  const std::string what = fmt::format("{}, a whole step", model.network.name);
  return {{what, "loss", std::abs(found.loss - expected.loss) / expected.loss, tolerance.loss},
          {what, "gradient", relative_error(found.gradients, expected.gradients), tolerance.gradient}};
}

}  // namespace

bool selftest(Backend& backend, Backend& reference, const std::function<void(const SelftestRow&)>& report,
              std::vector<std::string> networks) {
  bool is_good = true;
  const auto add = [&](const SelftestRow& row) {
    is_good = is_good && row.is_good();
    report(row);
  };
  // What throws is a row too, and the others are still worth seeing.
  const auto attempt = [&](const std::string& what, const auto& rows) {
    try {
      for (const SelftestRow& row : rows()) add(row);
    } catch (const Error& error) {
      add({what, error.what(), std::numeric_limits<double>::infinity(), 0});
    }
  };
  std::set<std::string> seen;  // operations that several networks share
  if (networks.empty()) {
    for (const EmbeddedFile& file : embedded_networks()) networks.emplace_back(file.name);
  }
  for (const std::string& network : networks) {
    const Model model = make_model(network, kClasses, kChannels);
    for (const LoweredOperation& operation : lower(model.network, model.shapes, model.layout).operations) {
      const std::string text = describe(operation.spec);
      if (!seen.insert(text).second) continue;
      const std::string what = fmt::format("{}, {}: {}", model.network.name, operation.name, text);
      attempt(what, [&] {
        SelftestRow row = compare_operation(backend, reference, operation.spec);
        row.what = what;
        return std::vector{row};
      });
    }
    attempt(model.network.name, [&] { return compare_step(backend, reference, model); });
  }
  return is_good;
}

}  // namespace convoy
