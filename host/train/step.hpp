// The training step, written once for every backend: augment, forward, loss, backward, update. Recorded once for each
// kind (batch size, frozen groups) and replayed, whole or as two halves, with or without an exchange of gradients; what
// changes from step to step is read from device memory.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "convoy/backend.hpp"
#include "nn/network.hpp"
#include "nn/program.hpp"
#include "nn/shapes.hpp"
#include "train/device_set.hpp"
#include "train/gradient_exchange.hpp"
#include "train/optimizer.hpp"
#include "train/run_config.hpp"
#include "train/weights.hpp"

namespace convoy {

// A network bound to data, as every part of a run needs it.
struct Model {
  Network network;
  Shapes shapes;
  ParamLayout layout;
};
Model make_model(const std::string& name_or_path, int classes, int channels);
Model make_model(Network network, int classes, int channels);

// How pixels become the network's input: pixel * scale + offset by channel of the network's input.
struct PixelScale {
  std::vector<float> scale, offset;
};
PixelScale pixel_scale(const std::vector<double>& mean, const std::vector<double>& deviation, int input_channels);

// The same in device memory.
class DevicePixels {
 public:
  DevicePixels(Backend& backend, const PixelScale& pixels);
  const float* scale() const { return arena_.floats(); }
  const float* offset() const { return arena_.floats() + channels_; }

 private:
  std::size_t channels_;
  Arena arena_;
};

// What distinguishes recordings. All ranks record the same kinds in the same order.
struct StepVariant {
  int batch = 0;                // this rank's rows, padding included
  std::set<int> frozen_groups;  // of ParamLayout::groups
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the comparison for a 0
  auto operator<=>(const StepVariant&) const = default;
};

// Which kernels lie where in a recording, see Recording::ranges.
struct RecordedStep {
  std::string what;
  std::vector<RecordedRange> ranges;
};

// A part of a step; an observer is told when it is enqueued. `operation`: of the program's network, in either pass;
// else -1. `exchange` comes where gradients pass through one.
enum class StepPart : std::uint8_t { input, forward, loss, backward, exchange, update };
using StepObserver = std::function<void(StepPart part, int operation, Program& program)>;

class TrainStep {
 public:
  // `weights` come with the moments that the configuration needs. All but the pixel scale outlives the step.
  TrainStep(Backend& backend, const Model& model, const RunConfig& config, Weights& weights, DeviceSet& data,
            const PixelScale& pixels);

  // Plans and records; before the first step, for every variant that will occur.
  void prepare(const std::vector<StepVariant>& variants);

  // Called after each part of every step to come, for whoever watches the progress; before `prepare`. A device that
  // replays what was recorded calls only while it records.
  void on_progress(std::function<void()> call) { on_progress_ = std::move(call); }

  // From now on steps make their calls, instead of replaying what was recorded, and the observer may look at each
  // result: no exchange begins before the gradients of all operations are there. Null: as before.
  void observe(StepObserver observer) { observer_ = std::move(observer); }

  // From now on gradients pass through `exchange`, which outlives the steps, on their way to the update.
  void exchange_gradients(GradientExchange& exchange, std::size_t least_bucket_bytes);

  // The rows of an epoch's steps, in order, of which `first` is the next. Each takes the data's next batch.
  void set_rows(const std::vector<StepRow>& rows, std::int64_t first = 0);
  void run(const StepVariant& variant);
  // The same in two halves: up to the gradients, their exchange included; then what the optimizer makes of them.
  void run_gradients(const StepVariant& variant);
  void run_update(const StepVariant& variant);

  // Makes the compute copies of weights that have changed anew; every step begins so.
  void refresh_copies(const StepVariant& variant) { prepared_for(variant); }

  LossSums take_sums();  // since the last call; waits

  // In fp16, where the gradients of a step are those of the scaled loss; else there is none.
  std::optional<LossScale> loss_scale() const;  // waits
  void set_loss_scale(const LossScale& loss_scale);

  // The sums that nobody has taken, and the loss scale. Waits.
  void visit_state(StateVisitor& state);
  std::vector<RecordedStep> recorded() const;
  const Program& program(const StepVariant& variant) const;
  const Arena& gradient_arena() const { return gradients_; }
  float* gradients() const { return gradients_.floats(); }

 private:
  struct Prepared {
    std::unique_ptr<Program> program;
    std::unique_ptr<Optimizer> optimizer;
    std::unique_ptr<Recording> whole, gradients, update;
    std::vector<GradientBucket> buckets;  // where gradients are exchanged
    Arena weight_copies;
    std::uint64_t copies_version = 0;  // of the weights they were made from
  };
  void forget_recordings();
  Prepared& prepared_for(const StepVariant& variant);
  void plan_exchange(Prepared& prepared) const;
  LossScale* device_loss_scale() const { return static_cast<LossScale*>(loss_scale_.data()); }
  bool exchanges_outside() const { return exchange_ != nullptr && !exchange_->can_be_recorded(); }
  void enqueue_input(Prepared& prepared);
  void enqueue_loss(Prepared& prepared);
  void enqueue_gradients(Prepared& prepared);
  void enqueue_backward(Prepared& prepared);
  void enqueue_update(Prepared& prepared);
  void told(StepPart part, Prepared& prepared, int operation = -1);
  void replay(std::unique_ptr<Recording>& recording, const StepVariant& variant, const std::function<void()>& calls);

  Backend& backend_;
  const Model& model_;
  const RunConfig& config_;
  Weights& weights_;
  DeviceSet& data_;
  Arena gradients_, narrow_gradients_, activations_, update_workspace_;
  DevicePixels pixels_;
  Arena rows_;        // StepRow []
  Arena control_;     // see step.cpp
  Arena loss_scale_;  // LossScale; empty but in fp16
  std::map<StepVariant, Prepared> prepared_;
  GradientExchange* exchange_ = nullptr;
  std::function<void()> on_progress_ = [] {};
  StepObserver observer_;
  std::size_t least_bucket_bytes_ = 0;
  std::set<int> frozen_groups_;  // of the last step
};

}  // namespace convoy
