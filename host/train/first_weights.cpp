// Every rank could draw the same; that the first worker's are broadcast spares what mathematics libraries disagree on.
#include "train/first_weights.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <utility>

#include "convoy/philox.hpp"
#include "nn/initialise.hpp"
#include "train/agreement.hpp"
#include "train/weights_file.hpp"

namespace convoy {
namespace {

struct FirstWeights {
  std::vector<float> values;
  std::string line;  // for the user, where they come from a file
};

FirstWeights draw_weights(const Model& model, const RunConfig& config, std::uint64_t seed, const ImageSet& training,
                          const PixelScale& pixels) {
  std::vector<float> values = initial_weights(model.layout, seed);
  if (needs_whitening(model.layout)) whiten(model.layout, training, pixels.scale, pixels.offset, values);
  if (config.init.empty()) return {std::move(values), ""};
  const std::vector<std::string> kept = initialise_from(open_weights(config.init), model.layout, values);
  std::string line = kept.empty()
                         ? fmt::format("weights start from {}", config.init)
                         : fmt::format("weights start from {}; another number of classes there, so drawn anew: {}",
                                       config.init, fmt::join(kept, ", "));
  return {std::move(values), std::move(line)};
}

// Of a rank's own first weights; the first rank's is the run's.
std::uint64_t rank_seed(std::uint64_t seed, int rank) {
  if (rank == 0) return seed;
  const Random4 bits = random_bits(seed, Purpose::rank_seed, 0, static_cast<std::uint64_t>(rank));
  return (std::uint64_t{bits.x} << 32) | bits.y;
}

// The first rank's, on all of them: broadcast, and proved equal.
void set_common_weights(const std::vector<std::unique_ptr<LocalRank>>& ranks, Communicator& communicator,
                        const std::vector<float>& values) {
  Weights& first = ranks.front()->weights;
  first.set(values);
  communicator.broadcast({first.data(), first.layout().total_elements}, 0);
  first.touch();
  for (std::size_t local = 1; local < ranks.size(); ++local) ranks[local]->weights.copy_from(first);
  for (const auto& rank : ranks) {
    const Agreed item[] = {{"first weights", fmt::format("checksum {:016x}", rank->weights.checksum())}};
    agree(communicator, item);
  }
}

}  // namespace

std::string set_first_weights(const std::vector<std::unique_ptr<LocalRank>>& ranks, Communicator& communicator,
                              const Model& model, const RunConfig& config, const ImageSet& training,
                              const PixelScale& pixels) {
  for (const auto& rank : ranks) {  // of a run before
    rank->weights.forget_moments();
    rank->step.set_loss_scale({});
  }
  if (config.start == WeightStart::common) {
    const FirstWeights first = draw_weights(model, config, config.seed, training, pixels);
    set_common_weights(ranks, communicator, first.values);
    return first.line;
  }
  std::string line;
  const int first_rank = communicator.rank() * static_cast<int>(ranks.size());
  for (std::size_t local = 0; local < ranks.size(); ++local) {
    FirstWeights own =
        draw_weights(model, config, rank_seed(config.seed, first_rank + static_cast<int>(local)), training, pixels);
    ranks[local]->weights.set(own.values);
    line = std::move(own.line);
  }
  return line;
}

}  // namespace convoy
