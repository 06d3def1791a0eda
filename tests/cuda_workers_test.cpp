// labels: gpu
// The GPUs of one process, each a worker on a thread of its own: one that fails or stands still ends the process, and
// is named, whatever the others wait for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <semaphore>
#include <span>
#include <string>

#include "cli/workers.hpp"
#include "convoy/error.hpp"
#include "support/backends.hpp"

namespace convoy {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::ExitedWithCode;
using testing::HasSubstr;
using testing::Not;

constexpr int kWorkers = 2;
constexpr double kTimeout = 5;  // seconds

class CudaWorkers : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string lacks = test::lacks_gpus(kWorkers); !lacks.empty()) GTEST_SKIP() << lacks;
    GTEST_FLAG_SET(death_test_style, "threadsafe");
  }
  static int run(const JobWork& work) {
    const ProcessClock clock;
    RunConfig config;
    config.gpus_per_process = kWorkers;
    config.timeout = kTimeout;
    Progress progress(stdout, Progress::Style::quiet, [] { return 0.0; });
    return run_job(std::nullopt, config, {clock, {"convoy"}}, progress, work);
  }
  [[noreturn]] static void wait_for_ever() {
    std::binary_semaphore never(0);
    while (true) never.acquire();
  }
};

TEST_F(CudaWorkers, on_cuda_each_works_and_the_first_one_s_code_is_the_job_s) {
  std::int64_t sum = 0;
  const int code = run([&](Communicator& workers, RunContext&) {
    std::int64_t numbers[] = {workers.rank() + 1};
    workers.sum(std::span<std::int64_t>(numbers));
    if (workers.rank() == 0) sum = numbers[0];
    return 10 + workers.rank();
  });
  EXPECT_EQ(code, 10);
  EXPECT_EQ(sum, 3);
}

TEST_F(CudaWorkers, on_cuda_one_that_throws_ends_those_that_wait_for_its_device) {
  const auto fails = [](Communicator& workers, RunContext&) -> int {
    if (workers.rank() == 1) fail("its device is lost");
    wait_for_ever();
  };
  EXPECT_EXIT(run(fails), ExitedWithCode(1), "convoy: rank 1: its device is lost");
}

TEST_F(CudaWorkers, on_cuda_wrong_usage_that_all_find_is_told_once_and_has_its_code) {
  const auto is_wrong = [](Communicator&, RunContext&) -> int { fail_usage("no such thing"); };
  EXPECT_EXIT(run(is_wrong), ExitedWithCode(2),
              AllOf(HasSubstr("no such thing"), Not(ContainsRegex("no such thing.*no such thing"))));
}

TEST_F(CudaWorkers, on_cuda_one_that_stands_still_ends_the_job_and_is_named) {
  const auto hangs = [](Communicator& workers, RunContext& context) {
    context.rank_progress().enter(Phase::training);
    if (workers.rank() == 1) wait_for_ever();
    std::int64_t nothing[] = {0};
    workers.sum(std::span<std::int64_t>(nothing));
    return 0;
  };
  EXPECT_EXIT(run(hangs), ExitedWithCode(1), "convoy: rank 1 .*for 5 s");
}

}  // namespace
}  // namespace convoy
