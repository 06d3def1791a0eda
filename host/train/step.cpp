// Writes the step against the backend, and keeps a recording of each kind.
#include "train/step.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "convoy/error.hpp"
#include "nn/naming.hpp"

namespace convoy {
namespace {

// The small values that a step keeps on the device.
struct StepControl {
  StepRow row;
  LossSums sums;
  float gradient_factor = 1;
  float gradient_norm = 0;
  std::int32_t cursor = 0;  // into the rows
};

}  // namespace

Model make_model(Network network, int classes, int channels) {
  Model model{std::move(network), {}, {}};
  model.shapes = infer_shapes(model.network, classes, channels);
  model.layout = make_layout(model.network, model.shapes);
  return model;
}

Model make_model(const std::string& name_or_path, int classes, int channels) {
  return make_model(load_network(name_or_path), classes, channels);
}

PixelScale pixel_scale(const std::vector<double>& mean, const std::vector<double>& deviation, int input_channels) {
  PixelScale pixels;
  for (int channel = 0; channel < input_channels; ++channel) {
    const std::size_t source = std::min<std::size_t>(channel, mean.size() - 1);  // grey is repeated
    // A channel that never changes is left as it is, shifted to zero.
    const double width = deviation[source] > 0 ? deviation[source] : 1;
    pixels.scale.push_back(static_cast<float>(1 / (255 * width)));
    pixels.offset.push_back(static_cast<float>(-mean[source] / width));
  }
  return pixels;
}

DevicePixels::DevicePixels(Backend& backend, const PixelScale& pixels)
    : channels_(pixels.scale.size()), arena_(backend.allocate(2 * channels_ * sizeof(float), "pixel scale")) {
  backend.upload(arena_.floats(), pixels.scale.data(), channels_ * sizeof(float));
  backend.upload(arena_.floats() + channels_, pixels.offset.data(), channels_ * sizeof(float));
}

TrainStep::TrainStep(Backend& backend, const Model& model, const RunConfig& config, Weights& weights, DeviceSet& data,
                     const PixelScale& pixels)
    : backend_(backend),
      model_(model),
      config_(config),
      weights_(weights),
      data_(data),
      gradients_(backend.allocate(model.layout.trainable_elements * sizeof(float), "gradients", Communicated::yes)),
      pixels_(backend, pixels),
      control_(backend.allocate(sizeof(StepControl), "step control")),
      loss_scale_(backend.allocate(backend.compute_type() == DType::f16 ? sizeof(LossScale) : 0, "loss scale")) {
  CONVOY_CHECK(weights.moments() >= moments_needed(model.layout, config), "weights with {} moments, {} needed",
               weights.moments(), moments_needed(model.layout, config));
  const StepControl initial;
  backend_.upload(control_.data(), &initial, sizeof initial);
  set_loss_scale({});
}

void TrainStep::prepare(const std::vector<StepVariant>& variants) {
  std::size_t activation_bytes = 0, update_bytes = 0, narrow_bytes = 0;
  for (const StepVariant& variant : variants) {
    Prepared& prepared = prepared_[variant];
    if (prepared.program) continue;
    const auto frozen = [&](const Parameter& parameter) { return variant.frozen_groups.contains(parameter.group); };
    LoweredNetwork lowered =
        lower(model_.network, model_.shapes, model_.layout,
              {.mode = Mode::train, .frozen = frozen, .normalisation_group = config_.norm_group_size});
    prepared.program =
        std::make_unique<Program>(backend_, std::move(lowered), model_.layout, variant.batch, Mode::train);
    prepared.program->on_operation([this, &prepared](Pass pass, int operation) {
      told(pass == Pass::forward ? StepPart::forward : StepPart::backward, prepared, operation);
    });
    prepared.optimizer = std::make_unique<Optimizer>(backend_, update_specs(model_.layout, config_, frozen));
    prepared.weight_copies = backend_.allocate(prepared.program->weight_copy_bytes(), "compute copies of the weights");
    plan_exchange(prepared);
    activation_bytes = std::max(activation_bytes, prepared.program->activation_bytes());
    update_bytes = std::max(update_bytes, prepared.optimizer->workspace_bytes());
    narrow_bytes = std::max(narrow_bytes, prepared.program->narrow_gradient_bytes());
  }
  // One arena serves every variant, since they never run together.
  const auto grow = [this](Arena& arena, std::size_t bytes, const char* what) {
    if (bytes <= arena.bytes()) return;
    arena = {};
    arena = backend_.allocate(bytes, what);
  };
  grow(activations_, activation_bytes, "activations");
  grow(update_workspace_, update_bytes, "workspace of the update");
  grow(narrow_gradients_, narrow_bytes, "narrow gradients");
  auto* control = static_cast<StepControl*>(control_.data());
  for (auto& [variant, prepared] : prepared_) {
    prepared.program->bind({.activations = activations_.at(0),
                            .weight_copies = prepared.weight_copies.at(0),
                            .weights = weights_.data(),
                            .narrow_weights = weights_.narrow(),
                            .gradients = gradients_.floats(),
                            .narrow_gradients = narrow_gradients_.data(),
                            .row = &control->row,
                            .order = data_.source().order});
  }
  forget_recordings();
}

void TrainStep::exchange_gradients(GradientExchange& exchange, std::size_t least_bucket_bytes) {
  exchange_ = &exchange;
  least_bucket_bytes_ = least_bucket_bytes;
  for (auto& [variant, prepared] : prepared_) plan_exchange(prepared);
  forget_recordings();
}

void TrainStep::plan_exchange(Prepared& prepared) const {
  if (exchange_ == nullptr) return;
  const std::size_t least_bytes = exchange_->can_be_recorded() ? least_bucket_bytes_ : 0;
  prepared.buckets = gradient_buckets(model_.layout, prepared.program->network(), least_bytes);
}

// They hold the addresses that were bound.
void TrainStep::forget_recordings() {
  for (auto& [variant, prepared] : prepared_) {
    prepared.whole.reset();
    prepared.gradients.reset();
    prepared.update.reset();
  }
}

void TrainStep::set_rows(const std::vector<StepRow>& rows, std::int64_t first) {
  const std::size_t bytes = rows.size() * sizeof(StepRow);
  if (bytes > rows_.bytes()) {
    backend_.wait();
    rows_ = {};
    rows_ = backend_.allocate(bytes, "rows of the steps");
    forget_recordings();
  }
  backend_.upload(rows_.data(), rows.data(), bytes);
  const auto cursor = static_cast<std::int32_t>(first);
  backend_.upload(&static_cast<StepControl*>(control_.data())->cursor, &cursor, sizeof cursor);
}

void TrainStep::enqueue_input(Prepared& prepared) {
  as_operation(backend_, "input", [&] {
    auto* control = static_cast<StepControl*>(control_.data());
    backend_.begin_step(static_cast<const StepRow*>(rows_.data()), &control->cursor, &control->row);
    backend_.prepare_input({.source = data_.source(),
                            .image = data_.image(),
                            .input = model_.shapes.input,
                            .rows = prepared.program->batch(),
                            .scale = pixels_.scale(),
                            .offset = pixels_.offset(),
                            .mode = Mode::train,
                            .augmentation = config_.augmentation,
                            .view = {},
                            .output = prepared.program->input(),
                            .row = &control->row});
  });
  told(StepPart::input, prepared);
}

void TrainStep::enqueue_loss(Prepared& prepared) {
  as_operation(backend_, "loss", [&] {
    auto* control = static_cast<StepControl*>(control_.data());
    const Program& program = *prepared.program;
    backend_.softmax_cross_entropy({.logits = program.logits(),
                                    .source = data_.source(),
                                    .rows = program.batch(),
                                    .classes = model_.shapes.classes,
                                    .logit_scale = program.network().logit_scale,
                                    .smoothing = static_cast<float>(config_.label_smoothing),
                                    .gradient = program.logits_gradient(),
                                    .sums = &control->sums,
                                    .row = &control->row,
                                    .loss_scale = device_loss_scale()});
  });
  told(StepPart::loss, prepared);
}

void TrainStep::enqueue_gradients(Prepared& prepared) {
  enqueue_input(prepared);
  {
    const Range range(backend_, "forward");
    prepared.program->forward();
  }
  enqueue_loss(prepared);
  enqueue_backward(prepared);
}

// Every bucket but the last leaves as soon as it is complete.
void TrainStep::enqueue_backward(Prepared& prepared) {
  const Range backward(backend_, "backward");
  const std::vector<GradientBucket>& buckets = prepared.buckets;
  if (buckets.empty() || exchanges_outside()) {
    prepared.program->backward();
    return;
  }
  const std::size_t last = buckets.size() - 1;
  std::size_t begun = 0;
  const auto begin_completed = [&](int operation) {
    for (; begun < last && buckets[begun].operation >= operation; ++begun) {
      prepared.program->complete_gradients();
      const Range range(backend_, "all-reduce");
      exchange_->begin(buckets[begun]);
    }
  };
  if (observer_) {
    prepared.program->backward();
  } else {
    prepared.program->backward(std::ref(begin_completed));  // by reference: a copy would need memory in every step
  }
  begin_completed(0);  // where the pass has not begun them
  const Range range(backend_, "all-reduce");
  exchange_->finish(buckets[last]);
  told(StepPart::exchange, prepared);
}

void TrainStep::enqueue_update(Prepared& prepared) {
  as_operation(backend_, "update", [&] {
    auto* control = static_cast<StepControl*>(control_.data());
    LossScale* loss_scale = device_loss_scale();
    const bool clips = config_.clip_norm > 0;
    const float limit = clips ? static_cast<float>(config_.clip_norm) : std::numeric_limits<float>::infinity();
    float* factor = clips || loss_scale != nullptr ? &control->gradient_factor : nullptr;
    if (factor != nullptr) {
      backend_.clip_factor(gradients_.floats(), model_.layout.trainable_elements, limit, factor,
                           &control->gradient_norm, loss_scale);
    }
    prepared.optimizer->enqueue({.weights = weights_.data(),
                                 .gradients = gradients_.floats(),
                                 .first_moment = weights_.first_moment(),
                                 .second_moment = weights_.second_moment(),
                                 .gradient_factor = factor,
                                 .workspace = update_workspace_.data(),
                                 .row = &control->row,
                                 .narrow_weights = weights_.narrow(),
                                 .loss_scale = loss_scale});
  });
  told(StepPart::update, prepared);
}

void TrainStep::told(StepPart part, Prepared& prepared, int operation) {
  on_progress_();
  if (observer_) observer_(part, operation, *prepared.program);
}

TrainStep::Prepared& TrainStep::prepared_for(const StepVariant& variant) {
  const auto found = prepared_.find(variant);
  CONVOY_CHECK(found != prepared_.end(), "a step of {} rows was not planned", variant.batch);
  Prepared& prepared = found->second;
  if (variant.frozen_groups != frozen_groups_) {  // what a frozen group had left must not count in the norm
    backend_.zero(gradients_.data(), gradients_.bytes());
    frozen_groups_ = variant.frozen_groups;
  }
  weights_.refresh_narrow();
  if (prepared.copies_version != weights_.version()) {
    prepared.program->refresh_weight_copies();
    prepared.copies_version = weights_.version();
  }
  return prepared;
}

void TrainStep::replay(std::unique_ptr<Recording>& recording, const StepVariant& variant,
                       const std::function<void()>& calls) {
  if (observer_) {
    calls();
    return;
  }
  const bool is_full = variant.batch == prepared_.rbegin()->first.batch;
  if (!recording) recording = backend_.record(is_full ? StepKind::full : StepKind::last, calls);
  recording->replay();
}

void TrainStep::run(const StepVariant& variant) {
  if (exchanges_outside()) {
    run_gradients(variant);
    run_update(variant);
    return;
  }
  Prepared& prepared = prepared_for(variant);
  data_.next();
  replay(prepared.whole, variant, [this, &prepared] {
    enqueue_gradients(prepared);
    enqueue_update(prepared);
  });
  weights_.touch_by_update();
}

void TrainStep::run_gradients(const StepVariant& variant) {
  Prepared& prepared = prepared_for(variant);
  data_.next();
  replay(prepared.gradients, variant, [this, &prepared] { enqueue_gradients(prepared); });
  if (!exchanges_outside()) return;
  const Range range(backend_, "all-reduce");
  exchange_->finish(prepared.buckets.back());
  told(StepPart::exchange, prepared);
}

void TrainStep::run_update(const StepVariant& variant) {
  Prepared& prepared = prepared_.at(variant);
  replay(prepared.update, variant, [this, &prepared] { enqueue_update(prepared); });
  weights_.touch_by_update();
}

LossSums TrainStep::take_sums() {
  auto* control = static_cast<StepControl*>(control_.data());
  LossSums sums;
  backend_.download(&sums, &control->sums, sizeof sums);
  backend_.zero(&control->sums, sizeof sums);
  return sums;
}

std::optional<LossScale> TrainStep::loss_scale() const {
  if (device_loss_scale() == nullptr) return std::nullopt;
  LossScale loss_scale;
  backend_.download(&loss_scale, device_loss_scale(), sizeof loss_scale);
  return loss_scale;
}

void TrainStep::set_loss_scale(const LossScale& loss_scale) {
  backend_.upload(device_loss_scale(), &loss_scale, loss_scale_.bytes());
}

void TrainStep::visit_state(StateVisitor& state) {
  auto* control = static_cast<StepControl*>(control_.data());
  LossSums sums;
  backend_.download(&sums, &control->sums, sizeof sums);
  state.value("step.sums", sums);
  backend_.upload(&control->sums, &sums, sizeof sums);
  if (LossScale* own = device_loss_scale()) {
    state.device("step.loss_scale", &own->scale, kLossScaleState);
    LossScale held = *loss_scale();
    held.scale = scale_of_mean(held.scale);  // which changes no rank's own
    set_loss_scale(held);
  }
}

std::vector<RecordedStep> TrainStep::recorded() const {
  std::vector<RecordedStep> steps;
  const auto add = [&](const StepVariant& variant, const char* what, const std::unique_ptr<Recording>& recording) {
    if (!recording || recording->ranges().empty()) return;
    steps.push_back({fmt::format("{} of a step of {}", what, variant.batch), recording->ranges()});
  };
  for (const auto& [variant, prepared] : prepared_) {
    add(variant, "all", prepared.whole);
    add(variant, "gradients", prepared.gradients);
    add(variant, "update", prepared.update);
  }
  return steps;
}

const Program& TrainStep::program(const StepVariant& variant) const { return *prepared_.at(variant).program; }

}  // namespace convoy
