// Jobs of the CUDA backend, where its programs find GPUs on this machine under the command in CONVOY_TEST_LAUNCHER.
// labels: slurm slow
#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "slurm/slurm_cluster.hpp"
#include "support/run_files.hpp"
#include "support/smooth_networks.hpp"

namespace convoy::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr double kRounding = 1e-5;  // see ranks_test
constexpr int kSeconds = 900;       // GPUs that are stood in for take their time
constexpr int kNodes = 2, kGpusPerNode = 2;

std::string launcher() {
  const char* command = std::getenv("CONVOY_TEST_LAUNCHER");
  return command != nullptr ? command : "";
}

// Nothing where jobs can have their GPUs.
std::string lacks_gpus() {
  if (launcher().empty()) return "CONVOY_TEST_LAUNCHER is not set";
  const fs::path program = CONVOY_TEST_EXECUTABLE;
  if (!fs::exists(program.parent_path() / "libconvoy_cuda.so")) return "built without CUDA";
  const std::string devices = run_shell(launcher() + " " + program.string() + " info --devices 2>&1").output;
  const std::string last = "GPU " + std::to_string(kNodes * kGpusPerNode - 1) + ": ";
  return devices.find(last) == std::string::npos ? "no '" + last + "' under CONVOY_TEST_LAUNCHER" : "";
}

// All nodes lie on this machine: a node's GPU i is the machine's 2 * node + i, and the ranks' processes see each other.
TEST(SlurmGpus, trainings_on_two_nodes_equal_the_cpus) {
  if (const std::string lacks = lacks_gpus(); !lacks.empty()) GTEST_SKIP() << lacks;
  const SlurmCluster cluster(kNodes, "together");
  if (!cluster.lack().empty()) GTEST_SKIP() << cluster.lack();
  ASSERT_EQ(cluster.failure(), "");
  const fs::path program = cluster.checkout() / "build" / "convoy";
  fs::remove(program);
  std::ofstream(program)
      << "#!/bin/bash\n[ -z \"${CUDA_VISIBLE_DEVICES:-}\" ] || export CUDA_VISIBLE_DEVICES="
         "$(for gpu in ${CUDA_VISIBLE_DEVICES//,/ }; do printf '%s,' $((SLURM_NODEID * 2 + gpu)); done)\n"
      << "exec " << launcher() << " " CONVOY_TEST_EXECUTABLE " \"$@\"\n";
  fs::permissions(program, fs::perms::owner_all);
  std::ofstream(cluster.checkout() / "smooth_norm.json") << kSmoothNormNetwork;
  for (const std::string ranks : {"1", "2"}) {
    RunWeights weights[2];
    const std::string devices[] = {"CONVOY_DEVICE=cuda", "CONVOY_DEVICE=cpu"};
    for (int i = 0; i < 2; ++i) {
      const int id = cluster.submit(
          devices[i] + " tools/submit train-multinode --ntasks-per-node=" + ranks + " --gpus-per-node=" + ranks +
          " --cpus-per-task=1 --time=30 -- --threads 1 --data synthetic:103 --batch 10 "
          "--epochs 1 --optimizer sgd --momentum 0.9 --learning-rate 0.02 --evaluation-batch 40 --model " +
          (cluster.checkout() / "smooth_norm.json").string());
      const std::string state = cluster.wait_for(id, kEnded, kSeconds);
      const std::string output = cluster.output("train-multinode", id);
      ASSERT_EQ(state, "COMPLETED") << output << cluster.control("logs").output;
      EXPECT_THAT(output, HasSubstr("2 x " + ranks + (i == 0 ? " ranks, cuda, " : " ranks, cpu, ")));
      weights[i] = weights_of(cluster.run("train-multinode", id));
    }
    EXPECT_LT(distance(weights[0].trained, weights[1].trained), kRounding) << ranks;
    EXPECT_LT(distance(weights[0].statistics, weights[1].statistics), kRounding) << ranks;
  }
}

}  // namespace
}  // namespace convoy::test
