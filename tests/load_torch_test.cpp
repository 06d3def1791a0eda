// tools/load_torch.py: a run's weights in PyTorch, and PyTorch's weights in a run, give the logits of the other side.
// labels: slow
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "support/data_files.hpp"
#include "support/shell.hpp"
#include "support/temporary_folder.hpp"

#ifndef CONVOY_TEST_EXECUTABLE
#define CONVOY_TEST_EXECUTABLE ""
#endif

namespace convoy::test {
namespace {

constexpr std::size_t kImages = 40;  // of each file

class LoadTorch : public testing::Test {
 protected:
  void SetUp() override {
    if (std::string_view(CONVOY_TEST_EXECUTABLE).empty()) GTEST_SKIP() << "built without the executable";
    const char* python = std::getenv("CONVOY_PYTHON");
    if (python == nullptr) GTEST_SKIP() << "CONVOY_PYTHON names no interpreter that has torch and safetensors";
    python_ = "'" + std::string(python) + "'";
    if (shell(python_ + " -c 'import numpy, torch, safetensors'").code != 0) {
      GTEST_SKIP() << python << " (CONVOY_PYTHON) has no torch or no safetensors";
    }
  }

  ShellOutcome shell(const std::string& command) const {
    return run_shell("cd '" + folder_.path().string() + "' && PYTHONDONTWRITEBYTECODE=1 " + command + " 2>&1");
  }
  void expect_success(const std::string& command) const {
    const ShellOutcome outcome = shell(command);
    ASSERT_EQ(outcome.code, 0) << command << "\n" << outcome.output;
  }
  void convoy(const std::string& arguments) const { expect_success("'" CONVOY_TEST_EXECUTABLE "' " + arguments); }
  void load_torch(const std::string& arguments) const {
    expect_success(python_ + " '" CONVOY_TEST_SOURCE_DIR "/tools/load_torch.py' " + arguments);
  }
  void run_python(const std::string& program, const std::string& arguments) const {
    std::ofstream(folder_.path() / "program.py") << program;
    expect_success("PYTHONPATH='" CONVOY_TEST_SOURCE_DIR "/tools' " + python_ + " program.py " + arguments);
  }
  void write_data(const NamedFiles& files) const {
    std::filesystem::create_directory(folder_.path() / "data");
    write((folder_.path() / "data").string(), files);
  }

  TemporaryFolder folder_;
  std::string python_;
};

struct Case {
  const char *name, *training;
  NamedFiles (*data)();
  const char* images;
};

NamedFiles cifar10() { return cifar10_binary(kImages); }
NamedFiles cifar100() { return cifar100_binary(2 * kImages, kImages); }
NamedFiles grey() { return idx_files(2 * kImages, kImages); }

// Every zoo network at a rate that moves each of its tensors; three channels, one repeated, one alone; 10 and 100
// classes.
const Case kCases[] = {
    {"seed", "--model seed --optimizer adam --learning-rate 1e-3", cifar10, "test_batch.bin"},
    {"seed_on_grey", "--model seed --optimizer adam --learning-rate 1e-3", grey, "t10k-images-idx3-ubyte"},
    {"airbench_narrow", "--recipe fashion", grey, "t10k-images-idx3-ubyte"},
    {"airbench94", "--recipe airbench94", cifar100, "test.bin"},
    {"resnet18", "--model resnet18 --learning-rate 0.01", cifar10, "test_batch.bin"},
};

class LoadTorchNetwork : public LoadTorch, public testing::WithParamInterface<Case> {};

TEST_P(LoadTorchNetwork, gives_the_logits_that_convoy_gave) {
  const Case& one = GetParam();
  write_data(one.data());
  convoy(std::string("train --data data --batch 20 --steps 3 --epochs 2 --evaluate-every end --evaluation-batch 40 ") +
         one.training + " --out run");
  convoy("eval --weights run/weights.safetensors --data data --logits logits.safetensors");
  load_torch(std::string("run/weights.safetensors --logits logits.safetensors --images data/") + one.images);
}

INSTANTIATE_TEST_SUITE_P(Zoo, LoadTorchNetwork, testing::ValuesIn(kCases),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_F(LoadTorch, refuses_logits_of_other_weights) {
  write_data(cifar10());
  const std::string train = "train --data data --model seed --batch 20 --steps 1 ";
  convoy(train + "--seed 1 --out first");
  convoy(train + "--seed 2 --out second");
  convoy("eval --weights second/weights.safetensors --data data --logits logits.safetensors");
  const ShellOutcome outcome = shell(python_ + " '" CONVOY_TEST_SOURCE_DIR "/tools/load_torch.py' " +
                                     "first/weights.safetensors --logits logits.safetensors --images data/"
                                     "test_batch.bin");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.output.find("load_torch: the logits differ by"), std::string::npos) << outcome.output;
}

// A rate of 0 leaves what --init brought; only the statistics take the batch's values.
TEST_F(LoadTorch, a_state_dict_of_pytorch_starts_a_run) {
  write_data(cifar10());
  run_python(R"(
import torch, network_file, torch_networks
torch.manual_seed(1)
torch.save(torch_networks.build(network_file.load("airbench_narrow", 10, 3)).state_dict(), "state.pt")
)",
             "");
  load_torch("--from-torch state.pt --model airbench_narrow --out start.safetensors");
  convoy(
      "train --data data --model airbench_narrow --init start.safetensors --batch 20 --steps 1 --learning-rate 0 "
      "--out run");
  convoy("eval --weights run/weights.safetensors --data data --logits logits.safetensors");
  load_torch("run/weights.safetensors --logits logits.safetensors --images data/test_batch.bin");
  run_python(R"(
import torch
from safetensors.torch import load_file
state, found = torch.load("state.pt", weights_only=True), load_file("run/weights.safetensors")
names = [name for name in state if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
assert names and all(torch.equal(state[name], found[name]) for name in names), names
)",
             "");
}

}  // namespace
}  // namespace convoy::test
