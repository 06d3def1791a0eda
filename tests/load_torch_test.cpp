// tools/load_torch.py: a run's weights in PyTorch, and PyTorch's weights in a run, give the logits of the other side.
// labels: slow
#include <gtest/gtest.h>

#include <string>

#include "support/python_tool.hpp"

namespace convoy::test {
namespace {

class LoadTorch : public PythonTool {
 protected:
  LoadTorch() : PythonTool("numpy, torch, safetensors") {}
  void load_torch(const std::string& arguments) const {
    expect_success(python_ + " '" CONVOY_TEST_SOURCE_DIR "/tools/load_torch.py' " + arguments);
  }
};

class LoadTorchNetwork : public LoadTorch, public testing::WithParamInterface<ZooTraining> {};

TEST_P(LoadTorchNetwork, gives_the_logits_that_convoy_gave) {
  const ZooTraining& one = GetParam();
  write_data(one.data());
  convoy(train_command(one));
  convoy("eval --weights run/weights.safetensors --data data --logits logits.safetensors");
  load_torch(std::string("run/weights.safetensors --logits logits.safetensors --images data/") + one.images);
}

INSTANTIATE_TEST_SUITE_P(Zoo, LoadTorchNetwork, testing::ValuesIn(kZooTrainings),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_F(LoadTorch, refuses_logits_of_other_weights) {
  write_data(zoo_cifar10());
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
  write_data(zoo_cifar10());
  run_python(R"(
import torch, network_file, torch_networks
torch.manual_seed(1)
torch.save(torch_networks.build(network_file.load("airbench_narrow", 10, 3)).state_dict(), "state.pt")
)");
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
)");
}

// --like says what a state_dict cannot: classes and the normalisation of pixels.
TEST_F(LoadTorch, a_safetensors_file_of_pytorch_is_evaluated_as_it_is) {
  write_data(zoo_cifar10());
  convoy("train --data data --model airbench_narrow --batch 20 --steps 2 --out run");
  run_python(R"(
import torch
from safetensors.torch import load_file, save_file
state = load_file("run/weights.safetensors")
torch.manual_seed(1)
save_file({name: tensor + 0.01 * torch.rand_like(tensor) for name, tensor in state.items()}, "state.safetensors")
)");
  load_torch("--from-torch state.safetensors --like run/weights.safetensors --out start.safetensors");
  convoy("eval --weights start.safetensors --data data --logits logits.safetensors");
  load_torch("start.safetensors --logits logits.safetensors --images data/test_batch.bin");
  run_python(R"(
import torch
from safetensors.torch import load_file
state, found = load_file("state.safetensors"), load_file("start.safetensors")
assert state.keys() == found.keys() and all(torch.equal(state[name], found[name]) for name in state)
)");
  convoy("train --data data --model airbench_narrow --init start.safetensors --batch 20 --steps 1 --out again");
}

TEST_F(LoadTorch, classes_and_normalisation_may_be_given_by_hand) {
  write_data(zoo_cifar10());
  run_python(R"(
import torch, network_file, torch_networks
torch.save({"state_dict": torch_networks.build(network_file.load("seed", 10, 3)).state_dict()}, "state.pth")
)");
  load_torch(
      "--from-torch state.pth --model seed --mean 0.49 0.48 0.45 --std 0.25 0.24 0.26 "
      "--class-names kind0 kind1 kind2 kind3 kind4 kind5 kind6 kind7 kind8 kind9 --out start.safetensors");
  convoy("eval --weights start.safetensors --data data --logits logits.safetensors");
  load_torch("start.safetensors --logits logits.safetensors --images data/test_batch.bin");
}

TEST_F(LoadTorch, a_state_dict_of_another_network_is_refused_in_a_line) {
  run_python(R"(
import torch, network_file, torch_networks
torch.save(torch_networks.build(network_file.load("seed", 10, 3)).state_dict(), "state.pt")
)");
  const ShellOutcome outcome =
      shell(python_ + " '" CONVOY_TEST_SOURCE_DIR "/tools/load_torch.py' --from-torch state.pt --model resnet18");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.output.rfind("load_torch: state.pt: '", 0), 0u) << outcome.output;
  EXPECT_EQ(outcome.output.find('\n'), outcome.output.size() - 1) << outcome.output;
}

}  // namespace
}  // namespace convoy::test
