// What a rank says of itself while it trains, so that a slow step is not taken for one that hangs.
// needs: oneDNN
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "support/training_run.hpp"
#include "train/train.hpp"
#include "watchdog/progress.hpp"

namespace convoy::test {
namespace {

// A run of so many steps, which asks `now` for the time whenever it shows something.
void train_watched(TrainingGround& ground, const std::string& steps, const std::vector<Setting>& settings,
                   RankProgress& progress, const Progress::Now& now) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> nowhere(std::fopen("/dev/null", "w"), &std::fclose);
  const ProcessClock clock;
  Progress output(nowhere.get(), Progress::Style::lines, now);
  RunContext context(clock, {}, output);
  context.watch_through(progress);
  const std::unique_ptr<Communicator> self = make_self_communicator();
  const std::vector<Setting> common = {{"data", "synthetic:160"}, {"model", ground.write("plain.json", kPlainNetwork)},
                                       {"batch", "16"},           {"epochs", "1"},
                                       {"steps", steps},          {"out", (ground.path() / "run").string()},
                                       {"threads", "1"}};
  train(resolve_config("", with(common, settings)), *self, context);
  EXPECT_EQ(progress.state().step, std::stoi(steps));
}

// The ticks of a run of so many steps.
std::uint64_t ticks_of(TrainingGround& ground, const std::string& steps, const std::vector<Setting>& settings) {
  RankProgress progress;
  train_watched(ground, steps, settings, progress, [] { return 0.0; });
  return progress.state().ticks;
}

TEST(RankProgress, moves_with_every_operation_of_a_step_of_every_rank) {
  TrainingGround ground;
  // The convolution, the pool and the head, in both passes; the images, the loss and the update.
  constexpr std::uint64_t kParts = 3 + 3 + 3;
  struct Case {
    std::uint64_t ranks;
    const char* policy;
    std::uint64_t exchanges;  // of gradients, in a step
  };
  for (const auto& [ranks, policy, exchanges] : {Case{1, "step", 0}, {2, "every:100", 0}, {2, "step", 1}}) {
    const std::vector<Setting> settings = {{"virtual-ranks", std::to_string(ranks)}, {"average", policy}};
    EXPECT_EQ(ticks_of(ground, "9", settings) - ticks_of(ground, "4", settings), 5 * (ranks * kParts + exchanges))
        << policy;
  }
}

TEST(RankProgress, is_in_its_first_steps_for_two_of_them) {
  TrainingGround ground;
  std::map<std::int64_t, Phase> phases;  // when the step's row is shown
  RankProgress progress;
  const auto look = [&] {
    const RankState state = progress.state();
    phases.emplace(state.step, state.phase);
    return 0.0;
  };
  train_watched(ground, "4", {{"log-every", "1"}}, progress, look);
  const std::map<std::int64_t, Phase> expected = {{0, Phase::planning},
                                                  {1, Phase::first_steps},
                                                  {2, Phase::first_steps},
                                                  {3, Phase::training},
                                                  {4, Phase::training}};
  EXPECT_EQ(phases, expected);
}

TEST(RankProgress, of_devices_in_turn_rises) {
  RankProgress progress;
  EXPECT_FALSE(progress.state().is_waiting());
  const auto first = std::make_shared<DeviceMark>(), second = std::make_shared<DeviceMark>();
  progress.follow(first);
  first->arrivals = 3;
  EXPECT_EQ(progress.state().device_position, 6U);
  first->is_waiting = 1;
  EXPECT_EQ(progress.state().device_position, 5U);
  EXPECT_TRUE(progress.state().is_waiting());
  progress.follow(second);
  EXPECT_EQ(progress.state().device_position, 6U);
  second->arrivals = 1;
  EXPECT_EQ(progress.state().device_position, 8U);
}

}  // namespace
}  // namespace convoy::test
