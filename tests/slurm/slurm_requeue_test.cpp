// Jobs that Slurm interrupts: what goes on afterwards, ends with the same weights as a run that nothing interrupted.
// labels: slurm slow
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "slurm/slurm_cluster.hpp"
#include "support/run_files.hpp"

namespace convoy::test {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kNodes[] = {"n1", "n2", "n3", "n4"};
constexpr int kSeconds = 400;  // no case needs so many; a machine that does much else may

class SlurmRequeue : public OnSlurm {
 protected:
  // With slow links a training takes its 40 s on every machine, and hardly a processor: 136 averages of 1.4 MB.
  static void slow_links(const std::string& rate = "40mbit") {
    for (const std::string node : kNodes) {
      const ShellOutcome outcome =
          cluster().node(node, "tc qdisc replace dev eth0 root tbf rate " + rate + " burst 32k latency 2s");
      if (outcome.code != 0) GTEST_SKIP() << "the links cannot be slowed down: " << outcome.output;
    }
  }
  static void fast_links() {
    for (const std::string node : kNodes) cluster().node(node, "tc qdisc del dev eth0 root");
  }
  static int submit(const std::string& script, const std::string& options, const std::string& arguments = "",
                    const std::string& environment = "") {
    return cluster().submit(environment + " tools/submit " + script +
                            " --nodes=2 --ntasks-per-node=1 --gpus-per-node=1 --cpus-per-task=1 " + options +
                            " -- --recipe seed-baseline --average every:4 --data synthetic:256 --batch-per-rank 8 "
                            "--epochs 34 --threads 1 --log-every 4 " +
                            "--checkpoint-every 40 " + arguments);
  }
  // Of a run that nothing interrupts, on links as they are.
  static const RunWeights& undisturbed() {
    static const RunWeights weights = [] {
      const int id = submit("train-multinode", "--time=30");
      EXPECT_EQ(cluster().wait_for(id, kEnded, kSeconds), "COMPLETED") << cluster().output("train-multinode", id);
      return weights_of(cluster().run("train-multinode", id));
    }();
    return weights;
  }
  static std::string checkpoints(const std::string& script, int id) {
    return cluster().run(script, id).string() + "/checkpoints";
  }
  static bool wait_for_a_checkpoint(const std::string& script, int id) {
    const std::string ended = "|" + std::string(kEnded) + "|";
    for (int second = 0; second < kSeconds; ++second) {
      if (cluster().wait_until("ls -d " + checkpoints(script, id) + "/step-* > /dev/null 2>&1", 1)) return true;
      if (ended.find("|" + cluster().job(id)["JobState"] + "|") != std::string::npos) return false;
    }
    return false;
  }
  static bool wait_for_restart(int id, int seconds) {
    return cluster().wait_until(std::string(CONVOY_TEST_SOURCE_DIR) + "/tests/slurm/cluster login ../cluster " +
                                    "scontrol show job " + std::to_string(id) + " | grep -q Restarts=1",
                                seconds);
  }
  static void expect_the_undisturbed_weights(const std::string& script, int id) {
    ASSERT_EQ(cluster().wait_for(id, kEnded, kSeconds), "COMPLETED") << cluster().output(script, id);
    EXPECT_EQ(cluster().job(id)["Restarts"], "1");
    EXPECT_TRUE(weights_of(cluster().run(script, id)) == undisturbed());
    EXPECT_EQ(summary_of(cluster().run(script, id))["steps"], 34 * 16);
  }
};

TEST_F(SlurmRequeue, a_job_at_its_time_limit_queues_again_and_ends_with_the_undisturbed_weights) {
  undisturbed();
  slow_links("20mbit");
  if (IsSkipped()) return;
  // Slurm looks every 30 s whether a signal is due until it looks again: here 30 to 60 s after the start. One that
  // comes before the script is there is lost.
  const int id = submit("train-requeue", "--time=3 --signal=B:USR1@120");
  EXPECT_TRUE(wait_for_restart(id, kSeconds)) << cluster().output("train-requeue", id);
  fast_links();
  EXPECT_EQ(cluster().login("scontrol update JobId=" + std::to_string(id) + " TimeLimit=30").code, 0);
  expect_the_undisturbed_weights("train-requeue", id);
  EXPECT_THAT(cluster().output("train-requeue", id), HasSubstr("train-requeue: queues again"));
}

// One loses the node of its script, which Slurm finds out. The other loses its second node, and its ranks notice before
// Slurm does.
TEST_F(SlurmRequeue, jobs_that_lose_a_node_are_queued_again_and_end_with_the_undisturbed_weights) {
  undisturbed();
  slow_links();
  if (IsSkipped()) return;
  const int first = submit("train-requeue", "--time=30 --nodelist=n1,n2");
  const int second = submit("train-multinode", "--time=30 --nodelist=n3,n4", "--timeout 4");
  ASSERT_TRUE(wait_for_a_checkpoint("train-requeue", first)) << cluster().output("train-requeue", first);
  ASSERT_TRUE(wait_for_a_checkpoint("train-multinode", second)) << cluster().output("train-multinode", second);
  for (const std::string node : {"n1", "n4"}) EXPECT_EQ(cluster().control("power-off " + node).code, 0);
  EXPECT_TRUE(wait_for_restart(first, kSeconds)) << cluster().output("train-requeue", first);
  EXPECT_TRUE(wait_for_restart(second, kSeconds)) << cluster().output("train-multinode", second);
  for (const std::string node : {"n1", "n4"}) EXPECT_EQ(cluster().control("power-on " + node).code, 0);
  fast_links();
  // That the second job's step had ended could not be told to n4, and is told again a minute later: by then n4 is back,
  // and a restarted job may have a step of the same number (seen). By default requeued jobs wait for two minutes.
  EXPECT_EQ(cluster().login("scontrol update StartTime=now+60 JobId=" + std::to_string(second)).code, 0);
  expect_the_undisturbed_weights("train-requeue", first);
  expect_the_undisturbed_weights("train-multinode", second);
}

// 272 averages of 0.2 MB. The network has no kinks, so that a rounding stays one.
constexpr const char* kSmoothWide = R"({"name": "smooth_wide", "input": [32, 32, "channels"], "layers": [
  {"name": "conv1", "type": "convolution", "filters": 8, "kernel": 3, "stride": 4, "padding": "same"},
  {"name": "gelu1", "type": "gelu"},
  {"name": "conv2", "type": "convolution", "filters": 128, "kernel": 3, "padding": "same"},
  {"name": "silu2", "type": "silu"},
  {"name": "pool2", "type": "average_pool", "kernel": 2},
  {"name": "head", "type": "dense", "outputs": "classes"}]})";
// Two ranks add the halves of a gradient, one rank adds all at once: sums in another order, off by some 1e-7 of their
// terms, in each of 272 steps: 3e-5 where all add up (seen: 8e-8). In batches of 8 the weights would be 0.1 off.
constexpr double kOtherOrder = 3e-5;

// Its second node never comes back. Slurm gives the batch of two ranks to the one that is left.
TEST_F(SlurmRequeue, an_elastic_job_that_loses_a_node_comes_back_on_the_one_that_is_left_in_the_same_batches) {
  const std::string network = (cluster().checkout() / "smooth_wide.json").string();
  std::ofstream(network) << kSmoothWide;
  const std::string arguments = "--timeout 10 --model " + network +
                                " --optimizer sgd --momentum 0.9 --learning-rate 0.01 --average step --epochs 17 "
                                "--checkpoint-every 8";
  const int whole = submit("train-multinode", "--time=30 --exclude=n3,n4", arguments);
  ASSERT_EQ(cluster().wait_for(whole, kEnded, kSeconds), "COMPLETED") << cluster().output("train-multinode", whole);
  slow_links("4mbit");
  if (IsSkipped()) return;
  const int id = submit("train-requeue", "--elastic --time=30 --exclude=n3,n4", arguments);
  ASSERT_TRUE(wait_for_a_checkpoint("train-requeue", id)) << cluster().output("train-requeue", id);
  EXPECT_EQ(cluster().job(id)["NodeList"], "n[1-2]");
  EXPECT_EQ(cluster().control("power-off n2").code, 0);
  fast_links();
  EXPECT_EQ(cluster().wait_for(id, kEnded, 2 * kSeconds), "COMPLETED") << cluster().output("train-requeue", id);
  EXPECT_EQ(cluster().job(id)["Restarts"], "1");
  EXPECT_EQ(cluster().job(id)["NodeList"], "n1");
  EXPECT_EQ(cluster().control("power-on n2").code, 0);
  EXPECT_THAT(cluster().output("train-requeue", id),
              testing::AllOf(HasSubstr("2 x 1 ranks"), HasSubstr("1 x 1 ranks"), HasSubstr("2 ranks before, 1 now"),
                             HasSubstr("in batches of 16")));
  const std::filesystem::path run = cluster().run("train-requeue", id), other = cluster().run("train-multinode", whole);
  for (const char* planned : {"steps", "epochs", "images_seen"}) {
    EXPECT_EQ(summary_of(run)[planned], summary_of(other)[planned]) << planned;
  }
  EXPECT_EQ(summary_of(run)["world_size"], 1);
  EXPECT_LT(distance(weights_of(run).trained, weights_of(other).trained), kOtherOrder);
}

TEST_F(SlurmRequeue, a_job_that_was_restarted_often_enough_ends_with_75) {
  const int id = submit("train-requeue", "--time=30", "--epochs 100000", "CONVOY_MAX_RESTARTS=0");
  ASSERT_TRUE(wait_for_a_checkpoint("train-requeue", id)) << cluster().output("train-requeue", id);
  EXPECT_EQ(cluster().login("scancel --batch --signal=USR1 " + std::to_string(id)).code, 0);
  EXPECT_EQ(cluster().wait_for(id, kEnded, kSeconds), "FAILED");
  EXPECT_EQ(cluster().job(id)["ExitCode"], "75:0");
  EXPECT_THAT(cluster().output("train-requeue", id), HasSubstr("CONVOY_MAX_RESTARTS is 0: not again"));
}

TEST_F(SlurmRequeue, a_job_that_is_cancelled_stops_at_a_checkpoint_and_stays_cancelled) {
  const int id = submit("train-requeue", "--time=30", "--epochs 100000");
  ASSERT_TRUE(wait_for_a_checkpoint("train-requeue", id)) << cluster().output("train-requeue", id);
  EXPECT_EQ(cluster().login("scancel " + std::to_string(id)).code, 0);
  EXPECT_EQ(cluster().wait_for(id, kEnded, kSeconds), "CANCELLED");
  const std::filesystem::path run = cluster().run("train-requeue", id);
  ASSERT_TRUE(cluster().wait_until("grep -q '\"state\": *\"stopped\"' " + run.string() + "/summary.json", kSeconds))
      << cluster().output("train-requeue", id);
  EXPECT_EQ(cluster().job(id)["Restarts"], "0");
  EXPECT_THAT(cluster().output("train-requeue", id), Not(HasSubstr("queues again")));
}

}  // namespace
}  // namespace convoy::test
