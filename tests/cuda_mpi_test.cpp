// labels: gpu
// Processes under mpirun, each with a GPU of its own: NCCL's collectives, within recorded steps and between them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "io/safetensors.hpp"
#include "mpi/mpi_communicator.hpp"
#include "support/backends.hpp"
#include "support/run_files.hpp"
#include "support/shell.hpp"
#include "support/smooth_networks.hpp"
#include "support/sparks.hpp"
#include "support/temporary_folder.hpp"
#include "train/checkpoint/checkpoint_files.hpp"
#include "train/checkpoint/checkpoint_folder.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr double kRounding = 1e-5;  // see ranks_test
constexpr int kRanks = 2;

class MpiOnCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (std::string_view(CONVOY_TEST_EXECUTABLE).empty()) GTEST_SKIP() << "built without the executable";
    if (!mpi_missing().empty()) GTEST_SKIP() << mpi_missing();
    if (const std::string lacks = test::lacks_gpus(kRanks); !lacks.empty()) GTEST_SKIP() << lacks;
    std::ofstream(folder_.path() / "smooth_norm.json") << test::kSmoothNormNetwork;
  }

  test::ShellOutcome shell(const std::string& line) const {
    return test::run_shell("cd '" + folder_.path().string() + "' && OMPI_MCA_rmaps_base_oversubscribe=1 CONVOY='" +
                           CONVOY_TEST_EXECUTABLE + "' timeout 120 " + line + " 2>&1");
  }
  test::ShellOutcome launch(int ranks, const std::string& options) const {
    return shell("'" CONVOY_TEST_SOURCE_DIR "/tools/launch' " + std::to_string(ranks) + " " + options);
  }

  static constexpr const char* kTrain =
      "train --model smooth_norm.json --data synthetic:103 --batch 10 --epochs 2 --optimizer sgd --momentum 0.9 "
      "--nesterov --learning-rate 0.02 --evaluation-batch 40 ";

  TemporaryFolder folder_;
};

// A batch of ten leaves some of eight ranks with one image, others with two. Buckets of one kilobyte: several
// collectives leave during the backward pass, all of them within the graph.
class RanksOnCuda : public MpiOnCuda, public testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(cuda_ranks, RanksOnCuda, testing::Values(1, 2, 4, 8));

TEST_P(RanksOnCuda, equal_virtual_ranks_of_the_cpu) {
  const int ranks = GetParam();
  if (const std::string lacks = test::lacks_gpus(ranks); !lacks.empty()) GTEST_SKIP() << lacks;
  for (const std::string policy : {"step --gradient-bucket 0.001", "every:4"}) {
    const std::string options = kTrain + ("--average " + policy);
    const auto many = launch(ranks, options + " --device cuda --out many");
    ASSERT_EQ(many.code, 0) << many.output;
    const auto one = shell("'" CONVOY_TEST_EXECUTABLE "' " + options + " --device cpu --virtual-ranks " +
                           std::to_string(ranks) + " --out one");
    ASSERT_EQ(one.code, 0) << one.output;
    const test::RunWeights found = test::weights_of(folder_.path() / "many"),
                           expected = test::weights_of(folder_.path() / "one");
    EXPECT_LT(test::distance(found.trained, expected.trained), kRounding) << policy;
    EXPECT_LT(test::distance(found.statistics, expected.statistics), kRounding) << policy;
    const auto costs = test::summary_of(folder_.path() / "many"), counted = test::summary_of(folder_.path() / "one");
    EXPECT_EQ(counted["world_size"], costs["world_size"]);
    if (ranks == 1) continue;
    EXPECT_GT(costs["collectives"], policy == "every:4" ? 5 : 3 * 22) << "every replay counts";
    EXPECT_GT(costs["communication_seconds"], 0);
    EXPECT_GE(costs["communication_seconds"], costs["exposed_communication_seconds"]);
  }
}

TEST_F(MpiOnCuda, deterministic_runs_on_cuda_are_the_same_bits_in_one_process_as_in_two) {
  for (const std::string policy : {"step --gradient-bucket 0.001", "every:4"}) {
    const std::string options = kTrain + ("--device cuda --deterministic --average " + policy);
    const auto processes = launch(kRanks, options + " --out processes");
    ASSERT_EQ(processes.code, 0) << processes.output;
    const auto threads = shell("'" CONVOY_TEST_EXECUTABLE "' " + options + " --gpus-per-process 2 --out threads");
    ASSERT_EQ(threads.code, 0) << threads.output;
    EXPECT_EQ(test::weights_of(folder_.path() / "processes"), test::weights_of(folder_.path() / "threads")) << policy;
  }
}

TEST_F(MpiOnCuda, a_rank_on_cuda_that_dies_or_hangs_ends_the_job_and_is_named) {
  for (const std::string signal : {"KILL", "STOP"}) {
    const auto outcome =
        shell("sh -c '" + std::string(test::kRanksOf) + "out=lost-" + signal +
              "; \"" CONVOY_TEST_SOURCE_DIR "/tools/launch\" 2 " + kTrain +
              "--device cuda --average every:4 --epochs 100000 --log-every 1 --timeout 5 --out $out & job=$!\n"
              "while ! [ -s $out/metrics.jsonl ]; do sleep 0.1; done\n"
              "kill -" +
              signal + " $(ranks $job | tail -n 1); wait $job'");
    EXPECT_EQ(outcome.code, signal == "KILL" ? 137 : 1) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("rank 1 ")) << signal;
    EXPECT_EQ(test::summary_of(folder_.path() / ("lost-" + signal))["state"], "failed");
  }
}

// Each rank's host hands out the same and waits for its own device: what the devices say of themselves tells which of
// them hangs. Within recorded steps where each process has one GPU, and between them where one has all.
class CudaDeviceHangs : public MpiOnCuda, public testing::WithParamInterface<const char*> {
 protected:
  static constexpr int kRanks = 3;
  void SetUp() override {
    MpiOnCuda::SetUp();
    if (IsSkipped()) return;
    if (const std::string lacks = test::lacks_gpus(kRanks); !lacks.empty()) GTEST_SKIP() << lacks;
    std::filesystem::create_symlink(CONVOY_TEST_PRELOADS "/device_hang.so", preload_);  // LD_PRELOAD takes no spaces
  }
  // `hang`: see preload/device_hang.cpp.
  test::ShellOutcome train(const std::string& hang, const std::string& options) const {
    return shell("env CONVOY_TEST_HANG='" + hang + "' LD_PRELOAD='" + preload_.string() + "' " + GetParam() + " " +
                 kTrain + "--device cuda --epochs 1000 --timeout 6 --out hung --average " + options);
  }

 private:
  const std::filesystem::path preload_ = folder_.path() / "device_hang.so";
};
INSTANTIATE_TEST_SUITE_P(cuda_layouts, CudaDeviceHangs,
                         testing::Values("'" CONVOY_TEST_SOURCE_DIR "/tools/launch' 3",
                                         "sh -c '\"$CONVOY\" \"$@\" --gpus-per-process 3' convoy"));

TEST_P(CudaDeviceHangs, a_rank_on_cuda_whose_device_hangs_is_named_though_all_stand_still) {
  const std::string of_devices = "the devices of the others wait for it in a collective";
  for (const auto& [options, others] : {std::pair{"step --log-every 1", of_devices},  // each host waits for its device
                                        {"step", of_devices},                         // some are ahead
                                        {"every:4", "the others wait in collective"}}) {  // they agree on norms first
    const auto outcome = train("cudaGraphLaunch 1 9", options);
    EXPECT_EQ(outcome.code, 1) << outcome.output;
    EXPECT_THAT(outcome.output, ContainsRegex("convoy: rank 1 on .* has not moved for 6 s: .*epoch .*" + others));
  }
}

TEST_P(CudaDeviceHangs, where_cuda_devices_are_all_in_a_collective_that_does_not_end_no_rank_is_blamed) {
  const auto outcome = train("ncclAllReduce 1 2", "step --log-every 1 --startup-timeout 30");  // in the first steps
  EXPECT_EQ(outcome.code, 1) << outcome.output;
  EXPECT_THAT(outcome.output,
              ContainsRegex("convoy: no rank has moved for (6|30) s: the devices of all are in one collective"));
}

// A bucket leaves when its gradients are fp32, and no earlier: all at once they certainly are.
TEST_F(MpiOnCuda, buckets_of_16_bit_gradients_change_no_bit_on_cuda) {
  test::RunWeights runs[2];
  const char* const buckets[] = {"0", "0.001"};
  for (int i = 0; i < 2; ++i) {
    const auto run =
        launch(kRanks, kTrain + std::string("--average step --precision bf16 --deterministic --device cuda ") +
                           "--gradient-bucket " + buckets[i] + " --out bucket" + std::to_string(i));
    ASSERT_EQ(run.code, 0) << run.output;
    runs[i] = test::weights_of(folder_.path() / ("bucket" + std::to_string(i)));
  }
  EXPECT_EQ(runs[0], runs[1]);
}

// The last image of the seventh step lies with the last rank.
TEST_F(MpiOnCuda, ranks_in_fp16_keep_one_loss_scale_where_they_average_gradients_else_each_its_own) {
  std::string options = "train --device cuda --precision fp16 --checkpoint-every 12 ";
  for (const auto& [option, value] :
       test::write_sparks(folder_.path(), {test::sample_of_step(7, test::kSparkBatch - 1)}, {1, 0.1F, 1})) {
    options += "--" + option + " '" + value + "' ";
  }
  for (const std::string policy : {"step --gradient-bucket 0.0001", "every:3"}) {
    SCOPED_TRACE(policy);
    const fs::path run = folder_.path() / policy.substr(0, 4);
    const auto job = launch(kRanks, options + "--average " + policy + " --out " + run.filename().string());
    ASSERT_EQ(job.code, 0) << job.output;
    const auto scale_of = [&](int rank) {
      const fs::path file = CheckpointFolder(run).checkpoint(test::kSparkSteps) / rank_file_name(rank);
      return SafetensorsFile::open(file).floats("step.loss_scale");
    };
    const bool are_as_one = policy != "every:3";
    EXPECT_THAT(scale_of(0), are_as_one ? ElementsAre(32768, 5, 1) : ElementsAre(65536, 12, 0));
    EXPECT_THAT(scale_of(1), ElementsAre(32768, 5, 1));
    EXPECT_EQ(test::summary_of(run)["loss_scale"], 32768);
    EXPECT_EQ(test::summary_of(run)["skipped_updates"], 1);
  }
}

// The same two GPUs, as processes and as threads of one.
TEST_F(MpiOnCuda, averages_on_cuda_are_benched_beside_bare_ones_in_either_layout) {
  const std::string bench = "bench --average --device cuda --model smooth_norm.json --batch 5 --steps 2 --json";
  for (const auto& job :
       {launch(kRanks, bench), shell("'" CONVOY_TEST_EXECUTABLE "' " + bench + " --gpus-per-process 2")}) {
    ASSERT_EQ(job.code, 0) << job.output;
    const std::string from_json = job.output.substr(job.output.find("{\"network"));  // a launcher may have a last word
    const nlohmann::json json = nlohmann::json::parse(from_json.substr(0, from_json.find('\n')));
    EXPECT_EQ(json["communicator"], "nccl");
    EXPECT_EQ(json["workers"], kRanks);
    EXPECT_EQ(json["hosts"], 1);
    EXPECT_EQ(json["batch_per_worker"], 3);
    EXPECT_EQ(json["sizes"].size(), 2U) << "the network is smaller than the others";
    for (const char* name : {"average_seconds", "bare_seconds", "step_seconds", "link_bytes_per_second"}) {
      EXPECT_GT(json[name], 0.0) << name;
    }
  }
}

TEST_F(MpiOnCuda, preflight_times_the_links_between_the_cuda_devices_of_one_process) {
  const auto outcome = shell("'" CONVOY_TEST_EXECUTABLE "' preflight --gpus-per-process 2 --megabytes 1 --out runs");
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  for (const char* part :
       {"2 workers on 1 host, averaging by nccl", "(GPU 1: ", "1 pair within a host: ", "\nready\n"}) {
    EXPECT_THAT(outcome.output, HasSubstr(part));
  }
}

TEST_F(MpiOnCuda, info_lists_every_cuda_device_and_the_libraries) {
  const auto info = shell("'" CONVOY_TEST_EXECUTABLE "' info --devices");
  EXPECT_EQ(info.code, 0) << info.output;
  for (const char* words : {"GPU 0: ", "GPU 1: ", "compute capability", "driver for CUDA", "cuDNN"}) {
    EXPECT_THAT(info.output, HasSubstr(words));
  }
}

TEST_F(MpiOnCuda, two_processes_on_one_cuda_device_are_refused_by_name) {
  const auto outcome = shell("env CUDA_VISIBLE_DEVICES=0 CONVOY='" CONVOY_TEST_EXECUTABLE "' '" CONVOY_TEST_SOURCE_DIR
                             "/tools/launch' 2 " +
                             std::string(kTrain) + "--device cuda --out refused");
  EXPECT_EQ(outcome.code, 1) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("ranks 0 and 1 have the same GPU"));
}

}  // namespace
}  // namespace convoy
