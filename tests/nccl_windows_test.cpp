// labels: gpu
// Arenas registered as symmetric windows, which NCCL 2.27 has on machines with NVLink: a library preloaded by the tests
// (preload/nccl_windows.cpp) gives them anywhere, checks the contract, and tells what it saw. Ranks are the GPUs of one
// process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "support/backends.hpp"
#include "support/program_test.hpp"
#include "support/run_files.hpp"

namespace convoy::test {
namespace {

// Whose weights are the same bits each time without --deterministic, which averages by other means than an all-reduce.
constexpr const char* kDense = R"({"name": "dense", "input": [32, 32, "channels"], "layers": [
  {"name": "hidden", "type": "dense", "outputs": 24}, {"name": "relu", "type": "relu"},
  {"name": "head", "type": "dense", "outputs": "classes"}]})";

// What happened to windows, by rank.
class Told {
 public:
  explicit Told(const std::filesystem::path& file) {
    std::ifstream stream(file);
    int rank = 0;
    for (std::string what; stream >> what >> rank;) {
      std::size_t bytes = 0;
      stream >> bytes;
      ++times_[what][rank];
      bytes_[what] = std::max(bytes_[what], bytes);
    }
  }
  int times(const std::string& what, int rank) { return times_[what][rank]; }
  std::size_t bytes(const std::string& what) { return bytes_[what]; }  // the most

 private:
  std::map<std::string, std::map<int, int>> times_;
  std::map<std::string, std::size_t> bytes_;
};

struct Training {
  std::string policies;
  int gpus = 2;
  int windows = 1, least_all_reduces = 0;  // those within a window; of the ranks of each number
};

class WindowsOnCuda : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    if (IsSkipped()) return;
    if (const std::string lacks = lacks_gpus(2); !lacks.empty()) GTEST_SKIP() << lacks;
    std::filesystem::create_symlink(preload("nccl_windows"), file("nccl_windows.so"));  // LD_PRELOAD takes no spaces
    std::ofstream(file("dense.json")) << kDense;
  }
  // Eight steps; under `environment`.
  ShellOutcome train(const Training& training, const std::string& out, const std::string& environment) const {
    return shell(
        "timeout 240 env " + environment + " \"$CONVOY\" train --device cuda --gpus-per-process " +
        std::to_string(training.gpus) +
        " --model dense.json --data synthetic:64 --batch 16 --epochs 2 --evaluation-batch 64 --optimizer adam " +
        training.policies + " --out " + out + " 2>&1");
  }
  ShellOutcome train_with_windows(const Training& training, const std::string& more = "") const {
    return train(training, "with", "LD_PRELOAD=./nccl_windows.so CONVOY_TEST_WINDOWS=told.txt " + more);
  }
  void expect_equal_bits() const { EXPECT_EQ(weights_of(file("with")), weights_of(file("without"))); }
  void expect_windows_and_equal_bits(const Training& training) const {
    std::filesystem::remove(file("told.txt"));
    const ShellOutcome with = train_with_windows(training), without = train(training, "without", "");
    ASSERT_EQ(with.code, 0) << with.output;
    ASSERT_EQ(without.code, 0) << without.output;
    expect_equal_bits();
    Told told(file("told.txt"));
    for (int rank = 0; rank < 2; ++rank) {
      EXPECT_EQ(told.times("register", rank), training.windows);
      EXPECT_EQ(told.times("deregister", rank), training.windows);
      EXPECT_GE(told.times("all-reduce", rank), training.least_all_reduces);
    }
    EXPECT_LE(told.bytes("all-reduce"), told.bytes("register"));
    EXPECT_GT(told.bytes("all-reduce"), 24U * 32 * 32 * 3 * sizeof(float)) << "the whole of the weights";
  }
};

TEST_F(WindowsOnCuda, on_cuda_hold_what_each_policy_averages_and_change_no_bit) {
  for (const Training& training :
       {Training{.policies = "--average every:2 --moments average", .least_all_reduces = 4},
        Training{.policies = "--average step", .least_all_reduces = 8},
        Training{.policies = "--average every:2 --average-delay 1", .windows = 2, .least_all_reduces = 4}}) {
    SCOPED_TRACE(training.policies);
    expect_windows_and_equal_bits(training);
  }
}

TEST_F(WindowsOnCuda, on_cuda_are_those_of_nodes_where_nodes_average_more_often) {
  if (const std::string lacks = lacks_gpus(4); !lacks.empty()) GTEST_SKIP() << lacks;
  expect_windows_and_equal_bits({.policies = "--average every:4 --average-node every:1 --node-size 2",
                                 .gpus = 4,
                                 .windows = 2,  // two nodes, each with a rank of this number
                                 .least_all_reduces = 2 * 6});
}

TEST_F(WindowsOnCuda, on_cuda_that_are_refused_leave_plain_registration_and_the_same_bits) {
  const Training training{.policies = "--average every:2"};
  ASSERT_EQ(train(training, "without", "").code, 0);
  const ShellOutcome with = train_with_windows(training, "CONVOY_TEST_REFUSE_WINDOWS=all");
  ASSERT_EQ(with.code, 0) << with.output;
  expect_equal_bits();
  Told told(file("told.txt"));
  for (int rank = 0; rank < 2; ++rank) {
    EXPECT_EQ(told.times("register", rank), 0);
    EXPECT_EQ(told.times("plain", rank), 2) << "the weights, and their mean that is evaluated";
  }
}

// A rank with a window and one without would start different kernels of the same all-reduce.
TEST_F(WindowsOnCuda, on_cuda_are_given_back_by_all_ranks_where_one_has_none) {
  const Training training{.policies = "--average every:2"};
  ASSERT_EQ(train(training, "without", "").code, 0);
  const ShellOutcome with = train_with_windows(training, "CONVOY_TEST_REFUSE_WINDOWS=1");
  ASSERT_EQ(with.code, 0) << with.output;
  expect_equal_bits();
  Told told(file("told.txt"));
  EXPECT_EQ(told.times("register", 0), 1);
  EXPECT_EQ(told.times("deregister", 0), 1);
  for (int rank = 0; rank < 2; ++rank) {
    EXPECT_EQ(told.times("plain", rank), 2) << "the weights, and their mean that is evaluated";
    EXPECT_EQ(told.times("all-reduce", rank), 0);
  }
}

// Of a communicator that does not block: there is no other way from there.
TEST_F(WindowsOnCuda, on_cuda_refused_late_end_the_run_with_what_goes_without_them) {
  const ShellOutcome with = train_with_windows({.policies = "--average every:2"}, "CONVOY_TEST_REFUSE_WINDOWS=late");
  EXPECT_EQ(with.code, 1);
  EXPECT_THAT(with.output, testing::HasSubstr("registering a window (with NCCL_WIN_ENABLE=0 there are none): "));
}

}  // namespace
}  // namespace convoy::test
