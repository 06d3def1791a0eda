// Accuracy and loss of weights on a labelled set. It has weights, copies and activations of its own: evaluating changes
// no bit of training. Shared out over the ranks by batches, whose sums are added in one order, so that the figures are
// the same for any number of ranks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "convoy/backend.hpp"
#include "convoy/communicator.hpp"
#include "nn/program.hpp"
#include "train/device_set.hpp"
#include "train/step.hpp"
#include "train/weights.hpp"

namespace convoy {

struct Evaluation {
  double loss = 0;      // mean cross-entropy without label smoothing, with the views
  double accuracy = 0;  // with the views
  double accuracy_plain = 0;
  std::int64_t samples = 0;
};

// The test-time views of --views: 1 the image; 2 with its mirror, halves; 6 (Jordan 2024): image and mirror a quarter
// each, and both shifted by a pixel to two diagonal corners, an eighth each.
struct WeightedView {
  View view;
  float weight = 1;
};
std::vector<WeightedView> test_views(int views);

// A batch no larger than the set. train and eval must agree on it: figures repeat to the bit for equal batches.
inline int evaluation_rows(int batch, std::size_t images) {
  return images == 0 ? batch : static_cast<int>(std::min<std::size_t>(images, static_cast<std::size_t>(batch)));
}

class Evaluator {
 public:
  // For sets of up to `most_images`.
  Evaluator(Backend& backend, Communicator& communicator, const Model& model, int batch, int views,
            const PixelScale& pixels, std::size_t most_images);

  // Every worker with the same weights; each takes its part of the batches. Nothing where on_batch ended it.
  std::optional<Evaluation> evaluate(const Weights& weights, DeviceSet& set) {
    return evaluate(weights, set, communicator_);
  }
  // Of weights that this worker alone has, without the others.
  Evaluation evaluate_alone(const Weights& weights, DeviceSet& set) { return *evaluate(weights, set, *self_); }
  // Called after each operation, for whoever watches the progress.
  void on_progress(std::function<void()> call) { program_.on_progress(std::move(call)); }
  // Asked after each batch whether to go on, equally often on all workers, which must have the same answer. Not of
  // evaluate_alone.
  void on_batch(std::function<bool()> go_on) { go_on_ = std::move(go_on); }
  // Logits [count, classes], logit scale included, of the plain view or with the views; one rank.
  std::vector<float> plain_logits(const Weights& weights, DeviceSet& set);
  std::vector<float> logits(const Weights& weights, DeviceSet& set);

 private:
  template <typename PerBatch>
  bool run_batches(const Weights& weights, DeviceSet& set, Communicator& among, const PerBatch& per_batch);
  void forward(const DeviceSet& set, const View& view);
  template <typename AfterPlain>
  void forward_views(const DeviceSet& set, const AfterPlain& after_plain);
  std::vector<float> download_all(const Weights& weights, DeviceSet& set, const std::function<const float*()>& compute);
  struct BatchSums {
    LossSums viewed, plain;
  };
  std::optional<Evaluation> evaluate(const Weights& weights, DeviceSet& set, Communicator& among);
  Evaluation total(std::size_t batches, Communicator& among);

  Backend& backend_;
  Communicator& communicator_;
  std::unique_ptr<Communicator> self_ = make_self_communicator();
  const Model& model_;
  std::vector<WeightedView> views_;
  Program program_;
  Weights weights_;  // the evaluation's own
  DevicePixels pixels_;
  Arena weight_copies_, activations_, row_, sums_, logits_;
  std::vector<BatchSums> host_sums_;  // of every batch; other ranks' are zero
  std::vector<double> losses_;
  std::vector<Share> shares_;  // this rank's batches
  std::function<bool()> go_on_ = [] { return true; };
};

}  // namespace convoy
