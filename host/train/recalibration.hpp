// Normalisation statistics taken anew: averaged weights give other activations than the ranks' own, whose running
// statistics no longer fit (Izmailov et al. 2018).
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "convoy/backend.hpp"
#include "convoy/communicator.hpp"
#include "nn/program.hpp"
#include "train/device_set.hpp"
#include "train/run_config.hpp"
#include "train/step.hpp"
#include "train/weights.hpp"

namespace convoy {

class Recalibration {
 public:
  // `batches` of `batch` training images, as a step sees them, shared out over the workers.
  Recalibration(Backend& backend, Communicator& communicator, const Model& model, const RunConfig& config,
                DeviceSet& training, const PixelScale& pixels, int batch, int batches);

  // Called after each operation, for whoever watches the progress.
  void on_progress(std::function<void()> call) { program_.on_progress(std::move(call)); }

  // Asked after each batch whether to go on, equally often on all workers, which must have the same answer.
  void on_batch(std::function<bool()> go_on) { go_on_ = std::move(go_on); }

  // The statistics of `weights` become the means, over the batches, of each batch's own. All workers call it. False:
  // on_batch ended it, and the statistics are of no use.
  bool run(Weights& weights, int epoch);

 private:
  void forward(const Share& share, int epoch);

  Backend& backend_;
  Communicator& communicator_;
  const Model& model_;
  const RunConfig& config_;
  DeviceSet& training_;
  std::vector<Share> shares_;  // this worker's batches
  int batches_;
  Program program_;
  DevicePixels pixels_;
  Arena weight_copies_, activations_, row_, sums_;
  std::function<bool()> go_on_ = [] { return true; };
};

// How many batches the configuration asks for; 0: none. `rank_batch` images each, of `images`.
int recalibration_batches(const RunConfig& config, const Model& model, int ranks, std::size_t images, int rank_batch);

}  // namespace convoy
