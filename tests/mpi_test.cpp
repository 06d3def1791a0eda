// labels: mpi
// Training by processes under mpirun, through tools/launch: what it equals, what a user sees of it, and how it ends
// when a worker disagrees, throws or dies.
// needs: oneDNN
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>

#include "mpi/mpi_communicator.hpp"
#include "support/data_files.hpp"
#include "support/files.hpp"
#include "support/run_files.hpp"
#include "support/shell.hpp"
#include "support/smooth_networks.hpp"
#include "support/sparks.hpp"
#include "support/temporary_folder.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr double kRounding = 1e-5;  // see ranks_test
constexpr int kHung = 124;          // exit status of a job that timeout ended

class Mpi : public testing::Test {
 protected:
  void SetUp() override {
    if (std::string_view(CONVOY_TEST_EXECUTABLE).empty()) GTEST_SKIP() << "built without the executable";
    if (!mpi_missing().empty()) GTEST_SKIP() << mpi_missing();
    if (test::run_shell("command -v mpirun").code != 0) GTEST_SKIP() << "no mpirun on the PATH";
    std::ofstream(file("smooth.json")) << test::kSmoothNetwork;
    std::ofstream(file("smooth_norm.json")) << test::kSmoothNormNetwork;
  }

  fs::path file(const std::string& name) const { return folder_.path() / name; }

  // A shell's line in the test's folder, ended after `limit`; messages are part of the output. Slots of Open MPI 4 and
  // 5: the two parts of a job in which workers get arguments of their own are counted apart by tools/launch.
  test::ShellOutcome shell(const std::string& line, seconds limit = seconds(60)) const {
    return test::run_shell("cd '" + folder_.path().string() + "' && OMPI_MCA_rmaps_base_oversubscribe=1 CONVOY='" +
                           CONVOY_TEST_EXECUTABLE + "' timeout " + std::to_string(limit.count()) + " " + line +
                           " 2>&1");
  }
  test::ShellOutcome convoy(const std::string& arguments) const {
    return shell("'" CONVOY_TEST_EXECUTABLE "' " + arguments);
  }
  test::ShellOutcome launch(int ranks, const std::string& arguments) const {
    return shell(kLaunch + std::to_string(ranks) + " " + arguments);
  }
  // By MPI's sums alone, as on several hosts.
  test::ShellOutcome launch_unshared(int ranks, const std::string& arguments) const {
    return shell("env CONVOY_SHARED_ARENAS=0 " + kLaunch + std::to_string(ranks) + " " + arguments);
  }
  // Two workers, each with a command line of the shell for itself. One program for both: Open MPI 5.0.7's mpirun
  // crashes where each has its own.
  test::ShellOutcome launch_each(const std::string& first, const std::string& second,
                                 seconds limit = seconds(60)) const {
    test::write_script(file("worker.sh"), "if [ \"${OMPI_COMM_WORLD_RANK:-$PMI_RANK}\" = 0 ]; then\n  " + first +
                                              "\nelse\n  " + second + "\nfi");
    return shell("env CONVOY=./worker.sh " + kLaunch + "2 train", limit);
  }
  test::ShellOutcome launch_two(const std::string& first, const std::string& second) const {
    return launch_each(kConvoy + first, kConvoy + second);
  }
  // Two workers with the same arguments, the second in a folder of its own: /proc/self/cwd/NAME is one path and two
  // files, as on two hosts. The first cannot write the images for the other, so each reads for itself.
  test::ShellOutcome launch_on_two_hosts(const std::string& arguments) const {
    return launch_each("TMPDIR=/proc " + kConvoy + arguments, "cd elsewhere && " + kConvoy + arguments);
  }

  static constexpr const char* kTrain =
      "train --data synthetic:103 --batch 10 --epochs 2 --threads 1 --optimizer sgd --momentum 0.9 --nesterov "
      "--learning-rate 0.02 --log-every 1 --evaluation-batch 7 ";

  const std::string kConvoy = "exec '" CONVOY_TEST_EXECUTABLE "' ";
  const std::string kLaunch = "'" CONVOY_TEST_SOURCE_DIR "/tools/launch' ";
  TemporaryFolder folder_;
};

// Lines of the output that hold `words`.
int count_lines(const std::string& output, const std::string& words) {
  int count = 0;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) count += line.find(words) != std::string::npos ? 1 : 0;
  return count;
}

// To the bit where each process has one rank: they too are summed in their order.
TEST_F(Mpi, processes_equal_as_many_virtual_ranks) {
  struct Job {
    int processes;
    const char *local, *ranks, *policy;
  };
  for (const Job& job : {Job{4, "1", "4", "step"}, Job{3, "1", "3", "every:4"}, Job{2, "2", "4", "every:4"},
                         Job{4, "1", "4", "epoch"}, Job{3, "1", "3", "never"}, Job{5, "1", "5", "every:2"}}) {
    const std::string options = std::string(kTrain) + "--model smooth_norm.json --average " + job.policy;
    const auto many = launch(job.processes, options + " --out many --virtual-ranks " + job.local);
    ASSERT_EQ(many.code, 0) << many.output;
    const auto alone = convoy(options + " --out alone --virtual-ranks " + job.ranks);
    ASSERT_EQ(alone.code, 0) << alone.output;
    const test::RunWeights found = test::weights_of(file("many")), expected = test::weights_of(file("alone"));
    if (job.local == std::string_view("1")) EXPECT_EQ(found.trained, expected.trained) << job.policy;
    EXPECT_LT(test::distance(found.trained, expected.trained), kRounding) << job.policy << " " << job.processes;
    EXPECT_LT(test::distance(found.statistics, expected.statistics), kRounding) << job.policy << " " << job.processes;
  }
}

TEST_F(Mpi, sums_of_mpi_equal_those_in_memory_that_ranks_share) {
  for (const char* policy :
       {"step", "every:4", "every:4 --average-delay 1", "every:4 --average-node every:2 --node-size 2"}) {
    const std::string options = std::string(kTrain) + "--model smooth_norm.json --average " + policy;
    const auto shared = launch(4, options + " --out shared");
    ASSERT_EQ(shared.code, 0) << shared.output;
    const auto apart = launch_unshared(4, options + " --out apart");
    ASSERT_EQ(apart.code, 0) << apart.output;
    const test::RunWeights found = test::weights_of(file("shared")), expected = test::weights_of(file("apart"));
    EXPECT_LT(test::distance(found.trained, expected.trained), kRounding) << policy;
    EXPECT_LT(test::distance(found.statistics, expected.statistics), kRounding) << policy;
    fs::remove_all(file("shared"));
    fs::remove_all(file("apart"));
  }
}

// Two ranks' sum is the same in any order; MPI takes other algorithms for other sizes, and with them other orders.
TEST_F(Mpi, gradients_in_buckets_are_the_same_sums) {
  const std::string options = std::string(kTrain) + "--model smooth.json --average step ";
  for (const int ranks : {2, 3}) {
    const auto whole = launch_unshared(ranks, options + "--gradient-bucket 0 --out whole");
    ASSERT_EQ(whole.code, 0) << whole.output;
    const auto parts = launch_unshared(ranks, options + "--gradient-bucket 1e-6 --out parts");
    ASSERT_EQ(parts.code, 0) << parts.output;
    const auto found = test::weights_of(file("parts")), expected = test::weights_of(file("whole"));
    if (ranks == 2) EXPECT_EQ(found, expected);
    EXPECT_LT(test::distance(found.trained, expected.trained), kRounding) << ranks;
    EXPECT_GT(test::summary_of(file("parts"))["collectives"], test::summary_of(file("whole"))["collectives"]);
    fs::remove_all(file("parts"));
    fs::remove_all(file("whole"));
  }
}

TEST_F(Mpi, averaging_gradients_equals_one_rank_and_repeats_to_the_bit) {
  const std::string options = std::string(kTrain) + "--model smooth.json --average step ";
  ASSERT_EQ(convoy(options + "--out one").code, 0);
  for (const int ranks : {1, 2, 3, 8}) {
    const auto many = launch(ranks, options + "--out many");
    ASSERT_EQ(many.code, 0) << many.output;
    EXPECT_LT(test::distance(test::weights_of(file("many")).trained, test::weights_of(file("one")).trained), kRounding);
    const auto rows = test::rows_of(file("many"), "step"), expected = test::rows_of(file("one"), "step");
    ASSERT_EQ(rows.size(), expected.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_NEAR(rows[i]["loss"].get<double>(), expected[i]["loss"].get<double>(), kRounding) << "step " << i + 1;
    }
  }
  ASSERT_EQ(launch(8, options + "--out again").code, 0);
  EXPECT_EQ(test::weights_of(file("again")), test::weights_of(file("many")));
}

TEST_F(Mpi, one_rank_speaks_and_writes_one_run_that_eval_repeats) {
  const auto job = launch(3, std::string(kTrain) + "--model smooth_norm.json --average every:4 --out run");
  ASSERT_EQ(job.code, 0) << job.output;
  EXPECT_THAT(job.output, testing::AllOf(StartsWith("tools/launch: "), HasSubstr("mpirun -n 3 ")));
  EXPECT_EQ(count_lines(job.output, "device: cpu"), 1) << job.output;
  EXPECT_EQ(count_lines(job.output, "average: every:4 [as asked]"), 1) << job.output;
  EXPECT_EQ(count_lines(job.output, "images of each 10"), 1) << job.output;  // the table of workers
  EXPECT_THAT(job.output, AllOf(HasSubstr("  0-3\n"), HasSubstr("  4-6\n"), HasSubstr("  7-9\n")));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 3) << "more than the networks and one run";
  EXPECT_EQ(test::rows_of(file("run"), "epoch").size(), 2U);
  EXPECT_EQ(test::rows_of(file("run"), "step").size(), 22U);

  const nlohmann::json summary = test::summary_of(file("run"));
  EXPECT_EQ(summary["state"], "done");
  EXPECT_EQ(summary["world_size"], 3);
  EXPECT_EQ(summary["images_seen"], 206);
  EXPECT_EQ(summary["collectives"], 22 / 4 + 1 + 2 + 2);  // five periods, the end, evaluation and statistics an epoch
  EXPECT_GT(summary["weight_distance"], 1e-4);
  EXPECT_GT(summary["exposed_communication_seconds"], 0);
  EXPECT_GE(summary["communication_seconds"], summary["exposed_communication_seconds"]);
  EXPECT_LE(summary["wait_seconds"]["least"], summary["wait_seconds"]["mean"]);
  EXPECT_LE(summary["wait_seconds"]["mean"], summary["wait_seconds"]["most"]);

  const auto eval = convoy("eval --weights run/weights.safetensors --data synthetic:103 --json");
  ASSERT_EQ(eval.code, 0) << eval.output;
  const nlohmann::json figures = nlohmann::json::parse(eval.output.substr(eval.output.find('{')));
  for (const char* figure : {"test_loss", "test_accuracy"}) EXPECT_EQ(figures[figure], summary[figure]) << figure;
}

TEST_F(Mpi, workers_with_other_options_or_data_end_with_one_line_that_names_the_difference) {
  const std::string train = std::string(kTrain) + "--model smooth.json --out run ";
  const auto seeds = launch_two(train + "--seed 1", train + "--seed 2");
  EXPECT_EQ(seeds.code, 1) << seeds.output;
  EXPECT_THAT(seeds.output,
              HasSubstr("convoy: worker 1 and worker 0 differ in configuration: 'seed = 2' and 'seed = 1'"));
  EXPECT_EQ(count_lines(seeds.output, "differ in"), 1) << seeds.output;
  EXPECT_FALSE(fs::exists(file("run")));

  const auto data = launch_two(train, train + "--data synthetic:104");
  EXPECT_EQ(data.code, 1) << data.output;
  EXPECT_THAT(data.output, HasSubstr("'data = \"synthetic:104\"' and 'data = \"synthetic:103\"'"));
}

TEST_F(Mpi, workers_that_read_other_images_from_one_path_end_with_one_line) {
  test::NamedFiles images = test::cifar10_binary(12);
  fs::create_directories(file("elsewhere/data"));
  fs::create_directories(file("data"));
  test::write(file("data"), images);
  const std::string train =
      std::string(kTrain) + "--data /proc/self/cwd/data --out '" + file("run").string() + "' --model seed";
  test::write(file("elsewhere/data"), images);
  const auto equal = launch_on_two_hosts(train);
  EXPECT_EQ(equal.code, 0) << equal.output;
  images.front().second.back() ^= 1;  // one bit of one pixel
  test::write(file("elsewhere/data"), images);
  const auto other = launch_on_two_hosts(train);
  EXPECT_EQ(other.code, 1) << other.output;
  EXPECT_THAT(other.output, HasSubstr("convoy: worker 1 and worker 0 differ in data: 'checksum "));
}

TEST_F(Mpi, the_first_worker_s_weights_are_where_all_start) {
  const std::string train = std::string(kTrain) + "--model '" + file("smooth.json").string() + "' --steps 1 ";
  ASSERT_EQ(convoy(train + "--learning-rate 0 --seed 1 --out first").code, 0);
  ASSERT_EQ(convoy(train + "--learning-rate 0 --seed 2 --out second").code, 0);
  fs::create_directory(file("elsewhere"));
  fs::copy(file("first/weights.safetensors"), file("start.safetensors"));
  fs::copy(file("second/weights.safetensors"), file("elsewhere/start.safetensors"));
  const auto job = launch_on_two_hosts(train + "--learning-rate 0 --init /proc/self/cwd/start.safetensors --out run");
  ASSERT_EQ(job.code, 0) << job.output;
  // The mean of two equal numbers is exact.
  EXPECT_EQ(test::weights_of(file("run")), test::weights_of(file("first")));
  EXPECT_NE(test::weights_of(file("run")), test::weights_of(file("second")));
}

TEST_F(Mpi, workers_find_together_where_numbers_stopped_being_finite_and_roll_back) {
  std::string train =
      "train --device cpu --threads 1 --evaluation-batch 7 --checkpoint-every 5 --log-every 4 --out run ";
  const std::int32_t spark = test::sample_of_step(7, test::kSparkBatch - 1);  // the last rank's
  for (const Setting& setting : test::write_sparks(folder_.path(), {spark})) {
    train += "--" + setting.option + " " + setting.value + " ";
  }
  const auto stopped = launch(2, train);
  EXPECT_NE(stopped.code, 0);
  EXPECT_NE(stopped.code, kHung) << "the job hung";
  const std::string reason = "it began in step 7, first at the output of conv1 on rank 1";
  EXPECT_THAT(stopped.output, HasSubstr(reason));
  EXPECT_EQ(test::summary_of(file("run"))["state"], "failed");
  EXPECT_THAT(test::summary_of(file("run"))["reason"].get<std::string>(), HasSubstr(reason + "; a lower"));
  const auto saved = launch(2, train + "--on-nan rollback");
  ASSERT_EQ(saved.code, 0) << saved.output;
  EXPECT_EQ(test::summary_of(file("run"))["rollbacks"], 1);
  EXPECT_EQ(test::summary_of(file("run"))["skipped_steps"], 3);
}

TEST_F(Mpi, a_worker_that_throws_ends_the_job_with_its_message) {
  const std::string train = std::string(kTrain) + "--model smooth.json --out run ";
  const auto job = launch_each(kConvoy + train, "CONVOY_CPU_ISA=none " + kConvoy + train, seconds(20));
  EXPECT_NE(job.code, 0);
  EXPECT_NE(job.code, kHung) << "the job hung";
  EXPECT_THAT(job.output, HasSubstr("convoy: rank 1: CONVOY_CPU_ISA is 'none'"));
  EXPECT_FALSE(fs::exists(file("run")));
}

// What becomes of a job whose second worker gets this signal in the middle of training.
TEST_F(Mpi, a_worker_that_dies_or_hangs_ends_the_job_and_is_named_in_its_folder) {
  const std::string train =
      std::string(kTrain) + "--model smooth.json --out run --timeout 2 --epochs 100000 --evaluate-every end ";
  for (const auto& [signal, end] : {std::pair{"-9", "rank 1 on .* died in .*epoch "},
                                    std::pair{"-STOP", "rank 1 on .* has not moved for 2 s: .*epoch "}}) {
    fs::remove_all(file("run"));
    auto job = std::async(std::launch::async,
                          [&] { return launch_each(kConvoy + train, "echo $$ > worker.pid; " + kConvoy + train); });
    while (!fs::exists(file("run/metrics.jsonl")) && job.wait_for(seconds(0)) != std::future_status::ready) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    std::this_thread::sleep_for(seconds(1));  // the watchdogs look a few times a second
    EXPECT_EQ(test::run_shell(std::string("kill ") + signal + " $(cat '" + file("worker.pid").string() + "')").code, 0);
    EXPECT_EQ(job.wait_for(seconds(20)), std::future_status::ready) << "the job goes on";
    const test::ShellOutcome outcome = job.get();
    EXPECT_NE(outcome.code, 0) << outcome.output;
    EXPECT_NE(outcome.code, kHung) << outcome.output;
    if (mpi_version().starts_with("MPICH") && signal == std::string_view("-9")) {
      EXPECT_THAT(outcome.output, testing::ContainsRegex("convoy: worker 1 on .* was ended by SIGKILL"));
      continue;  // UCX may abort the first rank, which reads the dead one's memory, before it has written anything
    }
    EXPECT_THAT(outcome.output, testing::ContainsRegex(std::string("convoy: ") + end));
    EXPECT_EQ(test::summary_of(file("run"))["state"], "failed");
    EXPECT_THAT(test::summary_of(file("run"))["reason"].get<std::string>(), testing::ContainsRegex(end));
  }
}

// Many ranks that each worker steps in turn, without a collective: no part of their step is long. The third is the
// first one that the timeout is for.
TEST_F(Mpi, a_step_that_takes_longer_than_the_timeout_is_not_taken_for_one_that_hangs) {
  constexpr double kTimeout = 1;
  const auto job =
      launch(2,
             "train --data synthetic:4800 --model seed --batch 4800 --virtual-ranks 60 --average every:9 "
             "--epochs 3 --evaluate-every end --test-images 10 --evaluation-batch 10 --threads 1 --timeout 1 --out "
             "run");
  ASSERT_EQ(job.code, 0) << job.output;
  const double step = test::summary_of(file("run"))["train_seconds"].get<double>() / 3;
  if (step < kTimeout) GTEST_SKIP() << "a step takes " << step << " s here, less than the least timeout worth a test";
}

TEST_F(Mpi, more_ranks_than_images_in_a_batch_are_wrong_usage) {
  const auto job = launch(3, std::string(kTrain) + "--model smooth.json --batch 2 --out run");
  EXPECT_EQ(job.code, 2) << job.output;
  EXPECT_EQ(count_lines(job.output, "convoy: 3 ranks share batches of 2 images: use at most 2 ranks"), 1) << job.output;
}

TEST_F(Mpi, the_bench_of_averages_prints_one_line_of_json_or_of_text) {
  const std::string bench = "bench --average --model seed --threads 1 --steps 3 --batch ";
  const auto as_json = launch(3, bench + "30 --json");
  ASSERT_EQ(as_json.code, 0) << as_json.output;
  const nlohmann::json json = nlohmann::json::parse(as_json.output.substr(as_json.output.find('{')));
  EXPECT_EQ(json["network"], "seed");
  EXPECT_EQ(json["workers"], 3);
  EXPECT_EQ(json["hosts"], 1);
  EXPECT_EQ(json["communicator"], "mpi");
  EXPECT_EQ(json["in_shared_memory"], true);
  const double bytes = json["average_bytes"], average_seconds = json["average_seconds"];
  EXPECT_GT(bytes, 4 * 350'000);  // the parameters of `seed`, and what aligns them
  EXPECT_LT(bytes, 4 * 360'000);
  for (const char* name :
       {"seconds_of_smallest", "bare_seconds", "bare_seconds_of_smallest", "link_bytes_per_second"}) {
    EXPECT_GT(json[name], 0.0) << name;
  }
  EXPECT_NEAR(json["bus_bytes_per_second"].get<double>() * average_seconds / bytes, 4.0 / 3, 1e-9) << "2 (N - 1) / N";
  EXPECT_NEAR(json["bare_bus_bytes_per_second"].get<double>() * json["bare_seconds"].get<double>() / bytes, 4.0 / 3,
              1e-9);
  EXPECT_EQ(json["batch_per_worker"], 10);
  const double step = json["step_seconds"];
  EXPECT_NEAR(json["share_of_step"].get<double>() * step,
              average_seconds + json["check_seconds"].get<double>() + json["refresh_seconds"].get<double>(), 1e-9);
  EXPECT_EQ(json["sizes"].front()["bytes"], 4);
  EXPECT_EQ(json["sizes"].back()["bytes"], json["average_bytes"]);
  EXPECT_EQ(json["sizes"].back()["bare_seconds"], json["bare_seconds"]);
  const auto as_text = launch(2, bench + "20");
  ASSERT_EQ(as_text.code, 0) << as_text.output;
  EXPECT_THAT(as_text.output, HasSubstr("seed, 2 workers in memory that they share: an average of 1.43 MB takes"));
  EXPECT_THAT(as_text.output, HasSubstr("1 pair within a host: "));
  EXPECT_THAT(as_text.output, HasSubstr("a step of 10 images a worker takes"));
  EXPECT_THAT(as_text.output, testing::ContainsRegex("averages at every step add .* % from every:[0-9]+ on"));
  const auto unshared = launch_unshared(2, bench + "20");
  EXPECT_THAT(unshared.output, HasSubstr("seed, 2 workers by mpi: an average of 1.43 MB takes"));
}

TEST_F(Mpi, the_bench_of_averages_says_that_one_worker_has_nobody_to_average_with) {
  const std::string line = "convoy: bench --average: one worker has nobody to average with: ";
  for (const auto& alone : {launch(1, "bench --average"), convoy("bench --average")}) {
    EXPECT_EQ(alone.code, 2) << alone.output;
    EXPECT_EQ(count_lines(alone.output, line), 1) << alone.output;
  }
}

TEST_F(Mpi, gpus_per_process_is_refused_in_a_process_that_was_launched_with_others) {
  for (const auto& [processes, line] : {std::pair{2, "convoy: --gpus-per-process is for one process alone"},
                                        std::pair{1, "convoy: --gpus-per-process: no GPU to share out"}}) {
    const auto job = launch(processes, "preflight --device cpu --gpus-per-process 2");
    EXPECT_EQ(job.code, 2) << job.output;
    EXPECT_EQ(count_lines(job.output, line), 1) << job.output;
  }
}

TEST_F(Mpi, commands_that_do_not_train_start_no_mpi) {
  if (test::run_shell("mpirun --version").output.find("Open MPI") == std::string::npos) {
    GTEST_SKIP() << "only Open MPI can be told to fail in MPI_Init";
  }
  const auto without_mpi = [&](const std::string& command) {
    return shell("env OMPI_MCA_pml=none_of_these " + kLaunch + "2 " + command);
  };
  for (const char* command : {"info --models", "data synthetic:100", "train --help"}) {
    EXPECT_EQ(without_mpi(command).code, 0) << command;
  }
  EXPECT_NE(without_mpi(std::string(kTrain) + "--model smooth.json --out run").code, 0);
}

}  // namespace
}  // namespace convoy
