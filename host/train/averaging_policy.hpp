// When ranks average, and what: the policies of --average, one row of a table each. Pure arithmetic, the same on every
// rank.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace convoy {

// What a policy may look at. Steps count from 0.
struct PolicyStep {
  std::int64_t step = 0;
  std::int64_t steps_per_epoch = 1;
  std::int64_t last_step = 1;      // how many steps the run takes
  std::int64_t since_average = 1;  // steps since the weights were last averaged, this one included
  double learning_rate = 0;        // of this step
};

enum class Exchange : std::uint8_t { nothing, gradients, weights };

class AveragingPolicy {
 public:
  // "never", "end", "epoch", "step", "every:K", "post-local:EPOCH,K" (Lin et al. 2020), "quadratic:C,K" (Gu et al.
  // 2024). Throws UsageError with what was expected.
  static AveragingPolicy parse(std::string_view text);

  const std::string& text() const { return text_; }
  // Gradients are averaged before the step's update, weights after it.
  Exchange at(const PolicyStep& step) const;
  // Averages gradients in some step, so that steps run in halves.
  bool ever_averages_gradients() const;
  // Ranks go apart between averages: more than one step, or no average at all.
  bool makes_local_steps() const;
  // Averages weights at most once, at the end.
  bool trains_apart() const;
  // What a user should know of this choice, in one line; empty for most.
  std::string warning() const;

  struct Row;

 private:
  std::string text_;
  const Row* row_ = nullptr;
  std::vector<double> values_;
};

// "never|end|epoch|every:K|step|...", for help and messages.
std::string averaging_policies();

}  // namespace convoy
