// After its first step training takes no memory: not from the backend, and none of its own from the heap. What oneDNN
// and OpenMP take and give back within one of their own calls is theirs: allocations are told apart by their caller.
// needs: oneDNN
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <set>
#include <string_view>

#include "convoy/communicator.hpp"
#include "data/sampler.hpp"
#include "data/synthetic.hpp"
#include "nn/initialise.hpp"
#include "support/backends.hpp"
#include "support/training_run.hpp"
#include "train/device_set.hpp"
#include "train/evaluator.hpp"
#include "train/plan.hpp"

namespace {

std::atomic<int> own_allocations{0};

void count_allocation(const void* caller) {
  Dl_info info{};
  const std::string_view library =
      dladdr(caller, &info) != 0 && info.dli_fname != nullptr ? std::string_view(info.dli_fname) : "";
  const bool is_foreign = library.find("libdnnl") != library.npos || library.find("libgomp") != library.npos;
  if (!is_foreign) ++own_allocations;
}

void* allocate(std::size_t bytes) {
  void* memory = std::malloc(bytes > 0 ? bytes : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Not inlined: the caller is told by the return address, and GCC pairs an inlined `delete` with the wrong `new`.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  count_allocation(__builtin_return_address(0));
  return allocate(bytes);
}
[[gnu::noinline]] void* operator new[](std::size_t bytes) {
  count_allocation(__builtin_return_address(0));
  return allocate(bytes);
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  count_allocation(__builtin_return_address(0));
  return std::malloc(bytes > 0 ? bytes : 1);
}
[[gnu::noinline]] void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  count_allocation(__builtin_return_address(0));
  return std::malloc(bytes > 0 ? bytes : 1);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace convoy::test {
namespace {

int allocations_of(const std::function<void()>& action) {
  const int before = own_allocations;
  action();
  return own_allocations - before;
}

// What the tiny network does not have.
constexpr const char* kBranches = R"({"name": "branches", "input": [32, 32, 3], "layers": [
  {"name": "conv1", "type": "convolution", "filters": 8, "kernel": 3, "stride": 2, "padding": 1},
  {"name": "silu1", "type": "silu"},
  {"name": "conv2", "type": "convolution", "filters": 8, "kernel": 3, "padding": 1},
  {"name": "norm2", "type": "batch_normalisation"},
  {"name": "add", "type": "add", "from": ["norm2", "silu1"]},
  {"name": "relu", "type": "relu"},
  {"name": "pool", "type": "average_pool", "kernel": 3, "stride": 2},
  {"name": "conv3", "type": "convolution", "filters": 16, "kernel": 1},
  {"name": "global", "type": "global_average_pool"},
  {"name": "head", "type": "dense", "outputs": "classes"}]})";

struct Case {
  const char* name;
  const char* network;
  std::vector<Setting> settings;
};

void PrintTo(const Case& one, std::ostream* stream) { *stream << one.name; }

// A run without its trainer: what is needed for steps and evaluations.
class SteadyMemory : public testing::TestWithParam<Case> {
 protected:
  static constexpr int kBatch = 16, kImages = 40;  // the last batch has 8

  static RunConfig config_of(const Case& one) {
    return resolve_config(
        "", with({{"batch", "16"}, {"epochs", "4"}, {"flip", "random"}, {"translate", "2"}}, one.settings));
  }

  RunConfig config_ = config_of(GetParam());
  std::unique_ptr<Backend> backend_ = make_backend_for_test("cpu", Precision::fp32);
  Dataset data_ = make_synthetic(kImages, 0);
  Model model_ = make_model(parse_network(GetParam().network, "test"), data_.classes(), 3);
  StepPlan plan_{config_, model_.layout, kImages, 0, 1};
  PixelScale pixels_ = pixel_scale({0.5}, {0.25}, 3);
};

TEST_P(SteadyMemory, steps_and_evaluations_take_none_after_the_first_of_each_kind) {
  Weights weights(*backend_, model_.layout, "weights", moments_needed(model_.layout, config_));
  weights.set(initial_weights(model_.layout, 0));
  const DeviceSetOptions options{.mode = config_.data_mode, .batch = kBatch};
  DeviceSet training(*backend_, data_.train, options), test(*backend_, data_.test, options);
  TrainStep step(*backend_, model_, config_, weights, training, pixels_);
  step.prepare(plan_.variants());
  const std::unique_ptr<Communicator> self = make_self_communicator();
  Evaluator evaluator(*backend_, *self, model_, kBatch, 6, pixels_, data_.test.count());

  const std::int64_t per_epoch = plan_.steps_per_epoch();
  std::set<StepVariant> seen;
  std::size_t bytes = 0;
  for (int epoch = 0; epoch < config_.epochs; ++epoch) {
    training.set_order(epoch_order(0, epoch, training.count()));
    const std::vector<StepRow> rows = plan_.rows(epoch);
    std::vector<Share> batches;
    for (std::int64_t i = 0; i < per_epoch; ++i) batches.push_back(plan_.share(i));
    const int taken_by_rows = allocations_of([&] {
      step.set_rows(rows);
      training.begin(batches);
    });
    if (epoch == 0) bytes = backend_->allocated_bytes();
    if (epoch > 0) EXPECT_EQ(taken_by_rows, 0) << "rows of epoch " << epoch;
    for (std::int64_t i = epoch * per_epoch; i < (epoch + 1) * per_epoch; ++i) {
      const StepVariant variant = plan_.variant(i);
      const int taken = allocations_of([&] { step.run(variant); });
      if (!seen.insert(variant).second) EXPECT_EQ(taken, 0) << "step " << i;
    }
    EXPECT_EQ(allocations_of([&] { step.take_sums(); }), 0);
    const int taken = allocations_of([&] { evaluator.evaluate(weights, test); });
    if (epoch > 0) EXPECT_EQ(taken, 0) << "evaluation after epoch " << epoch;
    EXPECT_EQ(backend_->allocated_bytes(), bytes);
  }
  EXPECT_EQ(backend_->peak_allocated_bytes(), bytes);
}

const Case kCases[] = {
    {"adam_clipped", kTinyNetwork, {{"optimizer", "adam"}, {"clip-norm", "1"}}},
    {"muon_with_a_group_that_stops",
     kTinyNetwork,
     {{"group", "filters.optimizer=muon"}, {"group", "dense.momentum=0.9"}, {"group", "biases.until-epoch=2"}}},
    {"branches_with_momentum", kBranches, {{"momentum", "0.9"}, {"cutout", "4"}, {"brightness", "0.1"}}},
    {"staged_images", kTinyNetwork, {{"momentum", "0.9"}, {"data-mode", "staged"}}},
};
INSTANTIATE_TEST_SUITE_P(Networks, SteadyMemory, testing::ValuesIn(kCases),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(SteadyRun, a_longer_run_with_more_evaluations_holds_no_more_device_memory) {
  TrainingGround ground;
  const std::vector<Setting> settings = {{"data", "synthetic:40"},  {"model", ground.write("tiny.json", kTinyNetwork)},
                                         {"batch", "16"},           {"validation", "10"},
                                         {"evaluation-batch", "8"}, {"threads", "1"}};
  const TrainedRun first = ground.train(with(settings, {{"epochs", "1"}}));
  const TrainedRun longer = ground.train(with(settings, {{"epochs", "6"}}));
  EXPECT_GT(first.results.peak_device_bytes, 0U);
  EXPECT_EQ(longer.results.peak_device_bytes, first.results.peak_device_bytes);
}

}  // namespace
}  // namespace convoy::test
