// How the modes of --shard draw the shards of the ranks.
#include "data/shard_draws.hpp"

#include <algorithm>
#include <numeric>

#include "data/dirichlet.hpp"
#include "data/sampler.hpp"

namespace convoy {
namespace {

// Everything that is dealt out.
Samples pool(const Drawing& drawing) {
  const std::size_t count = std::accumulate(drawing.sizes.begin(), drawing.sizes.end(), std::size_t{0});
  return permuted(drawing.seed, Purpose::shard, drawing.labels.size(), 0, count);
}

double weight_left(std::span<const double> weights, std::span<const std::size_t> left) {
  double sum = 0;
  for (std::size_t c = 0; c < weights.size(); ++c) sum += left[c] > 0 ? weights[c] : 0;
  return sum;
}

// Of the classes that have samples left, laid end to end by their weights, the one at this place in [0, 1).
std::size_t class_at(double place, std::span<const double> weights, std::span<const std::size_t> left) {
  const double target = place * weight_left(weights, left);
  double end = 0;
  std::size_t found = 0;
  for (std::size_t c = 0; c < weights.size(); ++c) {
    if (left[c] == 0 || weights[c] == 0) continue;
    found = c;
    end += weights[c];
    if (target < end) break;
  }
  return found;
}

}  // namespace

Samples permuted(std::uint64_t seed, Purpose purpose, std::size_t set_size, std::uint64_t first, std::size_t count) {
  Samples samples;
  samples.reserve(count);
  while (samples.size() < count) {
    const std::uint64_t position = first + samples.size();
    const Samples whole = keyed_permutation(
        {.seed = seed, .purpose = purpose, .epoch = static_cast<std::uint32_t>(position / set_size)}, set_size);
    const auto begin = whole.begin() + static_cast<std::ptrdiff_t>(position % set_size);
    const auto part = std::min(static_cast<std::ptrdiff_t>(count - samples.size()), whole.end() - begin);
    samples.insert(samples.end(), begin, begin + part);
  }
  return samples;
}

std::vector<Samples> draw_fixed(const Drawing& drawing) {
  const Samples all = pool(drawing);
  std::vector<Samples> shards;
  auto next = all.begin();
  for (const std::size_t size : drawing.sizes) {
    const auto begin = next;
    next += static_cast<std::ptrdiff_t>(size);
    shards.emplace_back(begin, next);
  }
  return shards;
}

std::vector<Samples> draw_overlapping(const Drawing& drawing) {
  std::vector<Samples> shards;
  for (std::size_t rank = 0; rank < drawing.sizes.size(); ++rank) {
    Samples own = keyed_permutation({.seed = drawing.seed, .purpose = Purpose::shard, .salt = salt_of(rank)},
                                    drawing.labels.size());
    own.resize(drawing.sizes[rank]);
    shards.push_back(std::move(own));
  }
  return shards;
}

std::vector<Samples> draw_dirichlet_shards(const Drawing& drawing) {
  const Samples all = pool(drawing);
  std::vector<Samples> by_class(static_cast<std::size_t>(*std::ranges::max_element(drawing.labels)) + 1);
  for (const std::int32_t sample : all) {
    by_class[static_cast<std::size_t>(drawing.labels[static_cast<std::size_t>(sample)])].push_back(sample);
  }
  std::vector<std::size_t> left;
  std::vector<double> shapes;
  for (const Samples& samples : by_class) {
    left.push_back(samples.size());
    shapes.push_back(drawing.value * static_cast<double>(samples.size()) / static_cast<double>(all.size()));
  }
  const std::size_t ranks = drawing.sizes.size();
  std::vector<std::vector<double>> proportions;
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    proportions.push_back(draw_dirichlet(shapes, {.seed = drawing.seed, .salt = salt_of(rank)}));
  }
  std::vector<Samples> shards(ranks);
  for (std::size_t dealt = 0, k = 0; dealt < all.size(); ++k) {
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      if (shards[rank].size() == drawing.sizes[rank]) continue;
      std::vector<double>& own = proportions[rank];
      if (weight_left(own, left) == 0) own.assign(left.begin(), left.end());
      const double place = random_bits(drawing.seed, Purpose::shard, 1, k, salt_of(rank)).x * 0x1p-32;
      const std::size_t chosen = class_at(place, own, left);
      shards[rank].push_back(by_class[chosen][by_class[chosen].size() - left[chosen]--]);
      ++dealt;
    }
  }
  return shards;
}

}  // namespace convoy
