// The table of shard modes, and orders made of shards.
#include "data/shards.hpp"

#include <algorithm>
#include <limits>

#include "convoy/error.hpp"
#include "data/sampler.hpp"
#include "io/named_numbers.hpp"

namespace convoy {

struct Sharding::Row {
  NamedForm form;
  std::string_view summary;
  bool needs_samples_per_rank;
  bool holds_distinct_samples;                   // so that no shard is larger than the set
  std::vector<Samples> (*draw)(const Drawing&);  // null: each epoch deals the set out anew
};

namespace {

constexpr Sharding::Row kModes[] = {
    {{"epoch", ""}, "each epoch deals one permutation of the set out to the ranks", false, false, nullptr},
    {{"fixed", ""}, "the set is split once, and each rank keeps its part", false, false, draw_fixed},
    {{"dirichlet", "ALPHA"},
     "the set is split once, each rank with its own share of the classes",
     false,
     false,
     draw_dirichlet_shards},
    {{"overlapping", ""},
     "each rank draws its own samples from the set, once, and ranks may have the same",
     true,
     true,
     draw_overlapping},
};

// Calls per_share(rank, share) for every rank's part of every step of an epoch, in the order of positions.
template <typename PerShare>
void for_each_share(const ShardPlan& plan, std::int64_t positions, const PerShare& per_share) {
  for (std::int64_t first = 0; first < positions; first += plan.batch) {
    const std::int64_t count = std::min(plan.batch, positions - first);
    for (int rank = 0; rank < plan.world_size; ++rank) {
      per_share(static_cast<std::size_t>(rank), share_of(first, count, rank, plan.world_size));
    }
  }
}

}  // namespace

Sharding Sharding::parse(std::string_view text) {
  const NamedNumbers named = parse_named_numbers(text, forms_of(kModes));
  Sharding sharding;
  sharding.text_ = text;
  sharding.row_ = &kModes[named.form];
  if (!named.numbers.empty()) sharding.value_ = named.numbers.front();
  const NamedForm& form = sharding.row_->form;
  if (!named.numbers.empty() && sharding.value_ == 0) {
    fail_usage("{}: {} is a number above 0, 0 found", usage(form), form.arguments);
  }
  return sharding;
}

std::string_view Sharding::summary() const { return row_->summary; }

bool Sharding::needs_samples_per_rank() const { return row_->needs_samples_per_rank; }

Shards::Shards(const Sharding& sharding, const ShardPlan& plan, std::span<const std::int32_t> labels)
    : plan_(plan),
      labels_(labels),
      positions_(plan.samples_per_rank > 0 ? plan.samples_per_rank * plan.world_size
                                           : static_cast<std::int64_t>(labels.size())) {
  CONVOY_CHECK(!labels.empty(), "a training set with samples expected");
  CONVOY_CHECK(plan.batch > 0, "a batch of 1 or more expected, found {}", plan.batch);
  if (positions_ > std::numeric_limits<std::int32_t>::max()) {
    fail_usage("--samples-per-rank {}: {} samples an epoch over {} ranks are too many", plan.samples_per_rank,
               positions_, plan.world_size);
  }
  if (sharding.row_->draw == nullptr) return;
  Drawing drawing{plan.seed, labels, std::vector<std::size_t>(static_cast<std::size_t>(plan.world_size)),
                  sharding.value_};
  for_each_share(plan_, positions_, [&](std::size_t rank, const Share& share) {
    drawing.sizes[rank] += static_cast<std::size_t>(share.count);
  });
  const std::size_t largest = *std::max_element(drawing.sizes.begin(), drawing.sizes.end());
  if (sharding.row_->holds_distinct_samples && largest > labels.size()) {
    fail_usage("--shard {}: {} distinct samples a rank, but the training set has {}: use a smaller --samples-per-rank",
               sharding.text(), largest, labels.size());
  }
  shards_ = sharding.row_->draw(drawing);
}

Samples Shards::order(int epoch) const {
  CONVOY_CHECK(epoch >= 0, "an epoch from 0 expected, found {}", epoch);
  const auto count = static_cast<std::size_t>(positions_);
  if (shards_.empty()) {
    return permuted(plan_.seed, Purpose::permutation, labels_.size(), static_cast<std::uint64_t>(epoch) * count, count);
  }
  std::vector<Samples> places;  // in the shard of each rank
  for (std::size_t rank = 0; rank < shards_.size(); ++rank) {
    places.push_back(keyed_permutation(
        {.seed = plan_.seed, .epoch = static_cast<std::uint32_t>(epoch), .salt = salt_of(rank)}, shards_[rank].size()));
  }
  Samples order(count);
  std::vector<std::size_t> taken(shards_.size());
  for_each_share(plan_, positions_, [&](std::size_t rank, const Share& share) {
    for (std::int64_t i = 0; i < share.count; ++i) {
      const auto place = static_cast<std::size_t>(places[rank][taken[rank]++]);
      order[static_cast<std::size_t>(share.first + i)] = shards_[rank][place];
    }
  });
  return order;
}

}  // namespace convoy
