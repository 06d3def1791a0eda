// One model's parameters on a device: the flat buffer of ParamLayout, and a version that says when they changed. The
// same in the compute type beside it, where the backend's operations read it there.
// Where they are trained, the optimizer's moments lie before them, so that one range takes in what an average may:
//   [ second moments | first moments | trainable weights | statistics | frozen tensors ]
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "convoy/backend.hpp"
#include "convoy/communicator.hpp"
#include "nn/parameters.hpp"
#include "train/checkpoint/state_visitor.hpp"

namespace convoy {

class Weights {
 public:
  // `moments` of each trainable weight: 0, 1 or 2; see moments_needed.
  Weights(Backend& backend, const ParamLayout& layout, std::string_view what, int moments = 0)
      : backend_(&backend),
        layout_(&layout),
        moments_(moments),
        arena_(backend.allocate((moment_elements() + layout.total_elements) * sizeof(float), what, Communicated::yes)),
        narrow_(backend.allocate(backend.narrow_bytes(layout.total_elements), what)) {}

  const ParamLayout& layout() const { return *layout_; }
  float* data() const { return arena_.floats() + moment_elements(); }
  std::size_t bytes() const { return layout_->total_elements * sizeof(float); }

  const Arena& arena() const { return arena_; }  // of weights and moments

  // At the offsets of the weights; null where there is none. Whole tensors of zeros at first.
  int moments() const { return moments_; }
  float* first_moment() const { return moments_ > 0 ? data() - layout_->trainable_elements : nullptr; }
  float* second_moment() const { return moments_ > 1 ? arena_.floats() : nullptr; }

  // What an average over the ranks takes in: weights and statistics; those and the moments; the moments alone.
  FloatRange communicated() const { return {data(), layout_->communicated_elements}; }
  FloatRange with_moments() const { return {arena_.floats(), moment_elements() + layout_->communicated_elements}; }
  FloatRange moments_alone() const { return {arena_.floats(), moment_elements()}; }

  // Rises with every change; whoever holds compute copies compares.
  std::uint64_t version() const { return version_; }
  void touch() { ++version_; }

  // Everything but the statistics, and those.
  void visit_trained(StateVisitor& state) {
    const std::size_t trained = layout_->trainable_elements, communicated = layout_->communicated_elements;
    if (moments_ > 0) state.device("moments", arena_.floats(), moment_elements());
    state.device("weights", data(), trained);
    state.device("frozen", data() + communicated, layout_->total_elements - communicated);
    touch();
  }
  void visit_statistics(StateVisitor& state) {
    const std::size_t trained = layout_->trainable_elements;
    state.device("statistics", data() + trained, layout_->communicated_elements - trained);
    touch();
  }

  // See Backend::narrow_bytes; null where it is 0. As the weights are, after refresh_narrow, then updates and means.
  void* narrow() const { return narrow_.data(); }
  void refresh_narrow() {
    if (narrow_version_ == version_) return;
    if (narrow_.bytes() > 0) backend_->narrow(data(), layout_->total_elements, narrow());
    narrow_version_ = version_;
  }
  // The weights have changed, and the narrow ones, where they were fresh, with them.
  void touch_by_update() {
    if (narrow_version_ == version_) ++narrow_version_;
    touch();
  }

  // `sums`, of weights or with moments, are where an average has added; times `factor` they are the means, and become
  // them, in one pass with the narrow weights where those were fresh. What sum_of_squares says of the trainable means
  // lies in `square`, device memory, if that is given.
  void become_mean(FloatRange sums, float factor, double* square = nullptr) {
    if (factor == 1 && square == nullptr) return touch();  // they are the means
    if (sums.data != data()) backend_->scale(sums.data, factor, moment_elements());
    backend_->mean_of_sums({.values = data(),
                            .count = layout_->communicated_elements,
                            .factor = factor,
                            .narrow_values = narrow_version_ == version_ ? narrow() : nullptr,
                            .squared = layout_->trainable_elements,
                            .square = square});
    touch_by_update();
  }

  void set(std::span<const float> values) {  // total_elements
    backend_->upload(data(), values.data(), bytes());
    touch();
  }
  void forget_moments() { backend_->zero(arena_.data(), moment_elements() * sizeof(float)); }
  void copy_from(const Weights& other) {
    backend_->copy(data(), other.data(), bytes());
    touch();
  }
  std::uint64_t checksum() const { return backend_->checksum(data(), bytes()); }  // waits
  std::vector<float> values() const {                                             // waits
    std::vector<float> host(layout_->total_elements);
    backend_->download(host.data(), data(), bytes());
    return host;
  }

 private:
  std::size_t moment_elements() const { return static_cast<std::size_t>(moments_) * layout_->trainable_elements; }

  Backend* backend_;
  const ParamLayout* layout_;
  int moments_;
  Arena arena_, narrow_;
  std::uint64_t version_ = 1, narrow_version_ = 0;
};

}  // namespace convoy
