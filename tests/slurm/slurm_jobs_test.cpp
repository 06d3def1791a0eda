// The job scripts on a Slurm of four nodes, submitted as a user would: what they leave, and how they fail.
// labels: slurm slow
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>

#include "slurm/slurm_cluster.hpp"
#include "support/data_files.hpp"
#include "support/run_files.hpp"

namespace convoy::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// What a job asks for, in place of whole nodes of GPUs for an hour, and a training of seconds.
constexpr const char* kTwoByTwo = " --ntasks-per-node=2 --gpus-per-node=2 --cpus-per-task=1 --time=30";
constexpr const char* kSmall = " --data synthetic:1000 --epochs 1 --threads 1";
constexpr const char* kLong =  // until something ends it
    " -- --recipe seed-baseline --average every:4 --data synthetic:1000 --epochs 10000 --threads 1 --log-every 1";
constexpr int kSeconds = 300;  // no case needs so many; a machine that does much else may

class SlurmJobs : public OnSlurm {
 protected:
  // Runs a script to its end by tools/submit; what it printed.
  static std::string done(const std::string& script, const std::string& options, const std::string& arguments, int& id,
                          const std::string& environment = "") {
    id = cluster().submit(environment + " tools/submit " + script + options + " -- " + arguments);
    EXPECT_EQ(cluster().wait_for(id, kEnded, kSeconds), "COMPLETED") << cluster().output(script, id);
    return cluster().output(script, id);
  }
  // Puts a program of bash before others of its name; what to set PATH to.
  static std::string stand_in(const std::string& name, const std::string& text) {
    const std::filesystem::path folder = cluster().checkout() / ("stand-in-" + name);
    std::filesystem::create_directories(folder);
    std::ofstream(folder / name) << "#!/bin/bash\n" << text;
    std::filesystem::permissions(folder / name, std::filesystem::perms::owner_all);
    return "PATH=" + folder.string() + ":$PATH";
  }
};

TEST_F(SlurmJobs, baseline_trains_one_rank_without_mpi) {
  int id = 0;
  const std::string output = done("baseline", " --cpus-per-task=1", kSmall, id);
  EXPECT_THAT(output, AllOf(HasSubstr("1 x 1 ranks, cpu, launcher none"), HasSubstr("test accuracy")));
  EXPECT_EQ(summary_of(cluster().run("baseline", id))["state"], "done");
}

TEST_F(SlurmJobs, a_plain_sbatch_finds_the_checkout_that_it_was_called_in) {
  const int id =
      cluster().submit(std::string("sbatch --output=runs/train-%j.out") + kTwoByTwo + " slurm/train.sbatch" + kSmall);
  ASSERT_EQ(cluster().wait_for(id, kEnded, kSeconds), "COMPLETED") << cluster().output("train", id);
  const auto summary = summary_of(cluster().run("train", id));
  EXPECT_EQ(summary["world_size"], 2);
  EXPECT_EQ(summary["data_origin"], "synthetic:1000");
}

TEST_F(SlurmJobs, a_plain_sbatch_from_elsewhere_takes_the_checkout_in_CONVOY_HOME) {
  const std::string checkout = cluster().checkout().string();
  const int id = cluster().submit("cd / && CONVOY_HOME=" + checkout + " sbatch --output=" + checkout +
                                  "/runs/train-%j.out" + kTwoByTwo + " " + checkout + "/slurm/train.sbatch" + kSmall);
  ASSERT_EQ(cluster().wait_for(id, kEnded, kSeconds), "COMPLETED") << cluster().output("train", id);
  EXPECT_EQ(summary_of(cluster().run("train", id))["state"], "done");
}

TEST_F(SlurmJobs, train_multinode_trains_on_two_nodes) {
  int id = 0;
  const std::string output = done("train-multinode", kTwoByTwo, kSmall, id);
  EXPECT_THAT(output, AllOf(HasSubstr("2 x 2 ranks, cpu, launcher pmix"), HasSubstr("n1"), HasSubstr("n2")));
  const auto summary = summary_of(cluster().run("train-multinode", id));
  EXPECT_EQ(summary["world_size"], 4);
  EXPECT_EQ(summary["state"], "done");
}

TEST_F(SlurmJobs, train_multinode_trains_on_four_nodes) {
  int id = 0;
  done("train-multinode", " --nodes=4 --ntasks-per-node=1 --gpus-per-node=1 --cpus-per-task=1 --time=30", kSmall, id);
  EXPECT_EQ(summary_of(cluster().run("train-multinode", id))["world_size"], 4);
}

TEST_F(SlurmJobs, where_srun_cannot_join_ranks_mpirun_does) {
  // All plugins of this srun are broken; mpirun starts its daemons by it, without one.
  const std::string path = stand_in(
      "srun", "for word; do case $word in --mpi=pm*|--mpi=cray*) exit 1 ;; esac; done\nexec /usr/bin/srun \"$@\"\n");
  int id = 0;
  const std::string output = done("train-multinode", kTwoByTwo, kSmall, id, path);
  EXPECT_THAT(output, HasSubstr("2 x 2 ranks, cpu, launcher mpirun"));
  EXPECT_EQ(summary_of(cluster().run("train-multinode", id))["world_size"], 4);
}

TEST_F(SlurmJobs, a_container_is_what_each_rank_starts_in) {
  const std::string program = (cluster().checkout() / "build" / "convoy").string();
  const std::string path =
      stand_in("apptainer", "[ \"${*:1:6}\" = 'exec --nv --bind /data image.sif convoy' ] || exit 9\nexec " + program +
                                " \"${@:7}\"\n");
  int id = 0;
  done("baseline", " --cpus-per-task=1", kSmall, id, path + " CONVOY_CONTAINER=image.sif CONVOY_BIND=/data");
  EXPECT_EQ(summary_of(cluster().run("baseline", id))["state"], "done");
}

// What Slurm takes itself does not wait, and ends a rank by SIGSEGV in MPI_Init now and then.
TEST_F(SlurmJobs, ranks_meet_in_a_fence_that_waits_for_all_nodes) {
  const std::string program = (cluster().checkout() / "build" / "convoy").string();
  const std::string path = stand_in("apptainer", "echo \"rank $SLURM_PROCID: $SLURM_PMIX_FENCE\"\nexec " + program +
                                                     " \"${@:5}\"\n");  // exec --nv image.sif convoy
  int id = 0;
  EXPECT_THAT(done("train-multinode", kTwoByTwo, kSmall, id, path + " CONVOY_CONTAINER=image.sif"),
              AllOf(HasSubstr("rank 0: ring\n"), HasSubstr("rank 3: ring\n")));
}

TEST_F(SlurmJobs, scaling_leaves_a_table_with_both_kinds_for_one_two_and_four_ranks) {
  int id = 0;
  done("scaling", kTwoByTwo, " --threads 1 --epochs 1", id, "CONVOY_SCALING_BATCH=32");
  std::ifstream table(cluster().run("scaling", id) / "scaling.csv");
  std::string line, kinds;
  std::getline(table, line);
  EXPECT_EQ(line, "scaling,ranks,nodes,batch,images_per_second,speedup,efficiency");
  while (std::getline(table, line)) {
    std::string scaling, ranks, nodes, batch, speed;
    std::istringstream cells(line);
    for (std::string* cell : {&scaling, &ranks, &nodes, &batch, &speed}) std::getline(cells, *cell, ',');
    kinds += scaling + " " + ranks + " on " + nodes + " of " + batch + "\n";
    EXPECT_GT(std::stod("0" + speed), 0) << line;
  }
  EXPECT_EQ(kinds,
            "strong 1 on 1 of 32\nweak 1 on 1 of 32\nstrong 2 on 1 of 32\nweak 2 on 1 of 64\n"
            "strong 4 on 2 of 32\nweak 4 on 2 of 128\n");
}

TEST_F(SlurmJobs, sweep_trains_each_policy_with_each_seed) {
  const int id = cluster().submit(std::string("CONVOY_POLICIES='step every:2' tools/submit sweep --array=1-2") +
                                  kTwoByTwo + " --" + kSmall);
  ASSERT_TRUE(cluster().wait_until(
      "[ $(ls runs/sweep-" + std::to_string(id) + "/*/weights.safetensors 2> /dev/null | wc -l) = 2 ]", kSeconds));
  const std::filesystem::path sweep = cluster().run("sweep", id);
  EXPECT_EQ(summary_of(sweep / "every-2-seed-0")["configuration"]["average"], "every:2");
  EXPECT_EQ(summary_of(sweep / "step-seed-1")["configuration"]["seed"], 1);
}

TEST_F(SlurmJobs, profile_leaves_a_report_of_the_first_and_the_last_rank) {
  // This nsys leaves its command line as the report.
  const std::string path =
      stand_in("nsys",
               "for word; do case $word in --output=*) echo \"$*\" > \"${word#*=}.nsys-rep\" ;; esac; done\n"
               "while [ \"${1##*/}\" != convoy ]; do shift; done\nexec \"$@\"\n");
  int id = 0;
  done("profile", kTwoByTwo, kSmall, id, path);
  const std::filesystem::path run = cluster().run("profile", id);
  EXPECT_EQ(summary_of(run)["world_size"], 4);
  EXPECT_EQ(cluster().login("ls " + (run / "profile").string()).output, "rank-0.nsys-rep\nrank-3.nsys-rep\n");
}

TEST_F(SlurmJobs, preflight_looks_at_every_node_and_says_what_came_out) {
  const int id =
      cluster().submit(std::string("tools/submit preflight") + kTwoByTwo + " -- --megabytes 1 --data synthetic");
  const std::string state = cluster().wait_for(id, kEnded, kSeconds);
  const std::string output = cluster().output("preflight", id);
  EXPECT_THAT(output, AllOf(HasSubstr("1: devices"), HasSubstr("4 workers on 2 hosts"),
                            HasSubstr("10 comparisons, 0 beyond what is allowed"),
                            testing::ContainsRegex("4 workers.*: an average of")));
  // The links of a machine that does much else may really look bad.
  const bool has_problem = output.find("PROBLEM") != std::string::npos;
  EXPECT_EQ(state, has_problem ? "FAILED" : "COMPLETED") << output;
  EXPECT_THAT(output, HasSubstr(has_problem ? "preflight: not all is well" : "preflight: all is well"));
}

TEST_F(SlurmJobs, a_rebuild_changes_a_waiting_job_only_with_live) {
  const std::string options = " --hold --cpus-per-task=1 --";
  const int copied = cluster().submit("tools/submit baseline" + options + kSmall);
  const int live = cluster().submit("tools/submit baseline --live" + options + kSmall);
  const std::string ids = std::to_string(copied) + " " + std::to_string(live);
  const ShellOutcome rebuilt = cluster().login(
      "mv build/convoy build/before && printf '#!/bin/sh\\necho rebuilt\\nexit 7\\n' > build/convoy && "
      "chmod +x build/convoy && for job in " +
      ids + "; do scontrol release $job; done");
  EXPECT_EQ(rebuilt.code, 0) << rebuilt.output;
  EXPECT_EQ(cluster().wait_for(copied, kEnded, kSeconds), "COMPLETED") << cluster().output("baseline", copied);
  EXPECT_EQ(cluster().wait_for(live, kEnded, kSeconds), "FAILED");
  EXPECT_EQ(cluster().job(live)["ExitCode"], "7:0");
  EXPECT_THAT(cluster().output("baseline", live), HasSubstr("rebuilt"));
  EXPECT_EQ(cluster().login("mv build/before build/convoy").code, 0);
}

TEST_F(SlurmJobs, gpus_are_asked_for_in_the_sites_form) {
  for (const auto& [form, asked] :
       {std::pair("gpus-per-node", "gres:gpu:1"), std::pair("gres", "gres:gpu:1"), std::pair("none", "")}) {
    const int id =
        cluster().submit(std::string("CONVOY_GPU_REQUEST=") + form + " tools/submit baseline --hold --cpus-per-task=1");
    EXPECT_EQ(cluster().job(id)["TresPerNode"], asked) << form;
    cluster().login("scancel " + std::to_string(id));
  }
}

TEST_F(SlurmJobs, a_partition_that_is_not_there_is_refused_at_once_and_leaves_nothing) {
  const std::string list = "ls runs/submitted";
  const std::string before = cluster().login(list).output;
  const ShellOutcome outcome = cluster().login("tools/submit train --partition=nowhere --");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("nvalid partition"), HasSubstr("tools/submit: sbatch did not take it")));
  EXPECT_EQ(cluster().login(list).output, before);
}

TEST_F(SlurmJobs, a_rank_that_is_killed_ends_the_job_and_is_named) {
  const int id = cluster().submit(std::string("tools/submit train-multinode") + kTwoByTwo + kLong);
  const std::filesystem::path run = cluster().run("train-multinode", id);
  ASSERT_TRUE(cluster().wait_until("[ -s " + run.string() + "/metrics.jsonl ]", kSeconds));
  const ShellOutcome killed = cluster().node("n2", "kill -9 $(pgrep -x convoy | head -n 1)");
  ASSERT_EQ(killed.code, 0) << killed.output;
  EXPECT_EQ(cluster().wait_for(id, kEnded, kSeconds), "FAILED");
  EXPECT_THAT(cluster().output("train-multinode", id), HasSubstr("on n2 died"));
  EXPECT_EQ(summary_of(run)["state"], "failed");
}

TEST_F(SlurmJobs, data_that_one_node_lacks_are_named_with_the_node) {
  const std::filesystem::path data = cluster().checkout() / "cifar";
  std::filesystem::create_directories(data);
  write(data.string(), cifar10_binary(100));
  const ShellOutcome hidden = cluster().node("n2", "mount -t tmpfs tmpfs " + data.string());
  ASSERT_EQ(hidden.code, 0) << hidden.output;
  const int id = cluster().submit(std::string("tools/submit train-multinode") + kTwoByTwo + " -- --threads 1 --data " +
                                  data.string());
  EXPECT_EQ(cluster().wait_for(id, kEnded, kSeconds), "FAILED");
  EXPECT_THAT(cluster().output("train-multinode", id), AllOf(HasSubstr(data.string()), HasSubstr("n2")));
  EXPECT_EQ(cluster().node("n2", "umount --lazy " + data.string()).code, 0);
}

TEST_F(SlurmJobs, scancel_stops_a_run_at_a_step) {
  const int id = cluster().submit(std::string("tools/submit train-multinode") + kTwoByTwo + kLong);
  const std::filesystem::path run = cluster().run("train-multinode", id);
  ASSERT_TRUE(cluster().wait_until("[ -s " + run.string() + "/metrics.jsonl ]", kSeconds));
  cluster().login("scancel " + std::to_string(id));
  EXPECT_EQ(cluster().wait_for(id, kEnded, kSeconds), "CANCELLED");
  ASSERT_TRUE(cluster().wait_until("grep -q '\"state\": *\"stopped\"' " + run.string() + "/summary.json", kSeconds))
      << cluster().output("train-multinode", id);
  EXPECT_EQ(summary_of(run)["reason"], "SIGTERM");
}

// srun ends ranks that leave later than the first.
TEST_F(SlurmJobs, ranks_that_stopped_end_their_job_with_75_however_far_apart_they_leave) {
  for (int time = 0; time < 3; ++time) {
    const int id = cluster().submit("LD_PRELOAD=" CONVOY_TEST_PRELOADS "/slow_leave.so tools/submit train-multinode" +
                                    std::string(kTwoByTwo) + kLong);
    const std::filesystem::path run = cluster().run("train-multinode", id);
    ASSERT_TRUE(cluster().wait_until("[ -s " + run.string() + "/metrics.jsonl ]", kSeconds));
    EXPECT_EQ(cluster().login("scancel --signal=USR1 " + std::to_string(id)).code, 0);
    EXPECT_EQ(cluster().wait_for(id, kEnded, kSeconds), "FAILED");
    EXPECT_EQ(cluster().job(id)["ExitCode"], "75:0") << cluster().output("train-multinode", id);
    EXPECT_EQ(summary_of(run)["state"], "stopped");
  }
}

}  // namespace
}  // namespace convoy::test
