// The order in which an epoch takes the samples, for each mode of --shard: an array of sample numbers in which the
// positions that are a rank's (see share_of) hold samples of that rank's shard. The same on every rank; all drawn by
// key. A sample that an epoch holds twice is augmented alike both times.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/shard_draws.hpp"

namespace convoy {

// Whom the orders are for.
struct ShardPlan {
  std::uint64_t seed = 0;
  std::int64_t batch = 1;  // over all ranks
  int world_size = 1;
  std::int64_t samples_per_rank = 0;  // in an epoch; 0: the ranks share the set
};

class Sharding {
 public:
  // "epoch", "fixed", "dirichlet:ALPHA", "overlapping". Throws UsageError with what was expected.
  static Sharding parse(std::string_view text);

  const std::string& text() const { return text_; }
  // What a shard holds, in a few words.
  std::string_view summary() const;
  // Nothing says how large a shard is, unless samples_per_rank does.
  bool needs_samples_per_rank() const;

  struct Row;

 private:
  friend class Shards;
  std::string text_;
  const Row* row_ = nullptr;
  double value_ = 0;
};

class Shards {
 public:
  // `labels` are those of the training set and outlive this. Throws UsageError where the set is too small.
  Shards(const Sharding& sharding, const ShardPlan& plan, std::span<const std::int32_t> labels);

  std::int64_t positions() const { return positions_; }  // of an epoch, over all ranks
  Samples order(int epoch) const;                        // positions() sample numbers; epoch from 0

  // What each rank draws from in every epoch; empty where each epoch deals the set out anew.
  const std::vector<Samples>& of_ranks() const { return shards_; }

 private:
  ShardPlan plan_;
  std::span<const std::int32_t> labels_;
  std::int64_t positions_;
  std::vector<Samples> shards_;
};

}  // namespace convoy
