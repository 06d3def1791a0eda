// How a job of many ranks is started: the line of tools/launch for each MPI, and what a process finds of its launcher.
#include "mpi/launch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "convoy/error.hpp"
#include "cpu/backend.hpp"
#include "mpi/mpi_communicator.hpp"
#include "support/files.hpp"
#include "support/shell.hpp"
#include "support/temporary_folder.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// tools/launch with nothing but what it needs on the PATH, and of these some that say what the test wants.
class LaunchTool : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"bash", "env", "dirname", "basename", "awk", "grep", "sort", "wc", "uname"}) {
      const std::string path = test::run_shell("printf %s \"$(command -v " + std::string(name) + ")\"").output;
      fs::create_symlink(path, folder_.path() / name);
    }
    script("lscpu", "printf '0,0\\n0,0\\n1,0\\n1,0\\n'");  // two cores of two threads each
    script("nproc", "echo 4");
    script("id", "echo 1000");
    script("convoy", "");
  }

  void script(const std::string& name, const std::string& text) const {
    test::write_script(folder_.path() / name, text, (folder_.path() / "bash").string());
  }
  // Prints its arguments in brackets and ends with 7.
  void mpirun(const std::string& version) const {
    script("mpirun", "[ \"$1\" != --version ] || { echo '" + version + "'; exit; }\nprintf '[%s]' \"$@\"\nexit 7");
  }
  test::ShellOutcome launch(const std::string& arguments, const std::string& variables = "") const {
    const std::string folder = folder_.path().string();
    return test::run_shell("env -i PATH='" + folder + "' CONVOY='" + folder + "/convoy' " + variables +
                           " '" CONVOY_TEST_SOURCE_DIR "/tools/launch' " + arguments + " 2>&1");
  }
  // What mpirun was given before the path of what it starts; the last line of the output.
  std::string options(const std::string& arguments, const std::string& variables = "") const {
    const std::string output = launch(arguments, variables).output;
    const std::string line = output.substr(output.rfind('\n') + 1);
    return line.substr(0, line.find("[/"));
  }

  static constexpr const char* kOpenMpi = "mpirun (Open MPI) 4.1.4";
  TemporaryFolder folder_;
};

TEST_F(LaunchTool, prints_the_line_and_runs_it_with_its_arguments_whole) {
  mpirun(kOpenMpi);
  const auto outcome = launch("2 train --out 'my run' --epochs 3");
  EXPECT_EQ(outcome.code, 7) << "the exit status of mpirun";
  EXPECT_THAT(outcome.output, HasSubstr("tools/launch: mpirun -n 2 "));
  EXPECT_THAT(outcome.output, HasSubstr(" train --out my\\ run --epochs 3 \n"));
  EXPECT_THAT(outcome.output, EndsWith("/convoy][train][--out][my run][--epochs][3]"));
}

TEST_F(LaunchTool, open_mpi_binds_nothing_and_may_oversubscribe_cores_but_not_an_allocation) {
  mpirun(kOpenMpi);
  EXPECT_THAT(options("2 train"), AllOf(HasSubstr("[-n][2][--bind-to][none]"), Not(HasSubstr("oversubscribe"))));
  EXPECT_THAT(options("3 train"), HasSubstr("[--oversubscribe]"));  // four threads, but two cores
  EXPECT_THAT(options("3 train", "SLURM_JOB_ID=5"), Not(HasSubstr("oversubscribe")));
  script("nproc", "echo 1");  // bound to one of them
  EXPECT_THAT(options("2 train"), HasSubstr("[--oversubscribe]"));
  fs::remove(folder_.path() / "lscpu");
  script("nproc", "echo 4");
  EXPECT_THAT(options("4 train"), Not(HasSubstr("oversubscribe")));
}

TEST_F(LaunchTool, open_mpi_is_told_that_root_is_meant) {
  mpirun(kOpenMpi);
  EXPECT_THAT(options("2 train"), Not(HasSubstr("root")));
  script("id", "echo 0");
  EXPECT_THAT(options("2 train"), HasSubstr("[--allow-run-as-root]"));
}

TEST_F(LaunchTool, other_mpis_get_the_number_of_ranks_alone) {
  script("id", "echo 0");
  for (const char* version : {"HYDRA build details:", "Intel(R) MPI Library for Linux* OS, Version 2021.11"}) {
    mpirun(version);
    EXPECT_EQ(options("8 train"), "[-n][8]") << version;
  }
}

TEST_F(LaunchTool, hydra_starts_each_rank_by_what_tells_it_late_of_a_death) {
  const std::string convoy = "[" + folder_.path().string() + "/convoy][train]";
  mpirun("HYDRA build details:\n    Version: 4.0.2");
  EXPECT_THAT(launch("2 train").output, EndsWith("[2][" CONVOY_TEST_SOURCE_DIR "/tools/hydra_rank]" + convoy));
  mpirun(kOpenMpi);
  EXPECT_THAT(launch("2 train").output, EndsWith("[none]" + convoy));
}

TEST_F(LaunchTool, of_a_rank_under_hydra_only_a_death_by_a_signal_comes_late) {
  script("sleep", "echo \"held for $1 s\"");
  const auto run = [&](const std::string& command) {
    script("rank", command);
    return test::run_shell("LC_ALL=C PMI_RANK=3 PATH='" + folder_.path().string() +
                           ":'$PATH bash -c '\"" CONVOY_TEST_SOURCE_DIR "/tools/hydra_rank\" rank; exit $?' 2>&1");
  };
  const auto failed = run("echo said >&2; exit 3");
  EXPECT_EQ(failed.output, "said\n");
  EXPECT_EQ(failed.code, 3);
  EXPECT_EQ(run("exit 255").code, 255) << "no signal has that number";
  EXPECT_EQ(run("kill -USR1 $PPID; exit 75").code, 75) << "a signal to the whole group is not the end of it";
  const auto killed = run("kill -9 $$");
  EXPECT_THAT(killed.output, AllOf(StartsWith("convoy: worker 3 on "),
                                   HasSubstr(" was ended by SIGKILL\nheld for 5 s\n"), HasSubstr("Killed")))
      << "and it ends by the same signal";
  EXPECT_EQ(killed.code, 128 + 9);
}

TEST_F(LaunchTool, what_is_missing_is_one_line) {
  const auto no_mpi = launch("4 train");
  EXPECT_EQ(no_mpi.code, 1);
  EXPECT_EQ(no_mpi.output,
            "tools/launch: no mpirun on the PATH: install that of the build's MPI (openmpi-bin, mpich) or load its "
            "module; --virtual-ranks 4 needs none\n");
  mpirun(kOpenMpi);
  fs::remove(folder_.path() / "convoy");
  EXPECT_THAT(launch("4 train").output, HasSubstr("tools/build makes it"));
  for (const char* arguments : {"", "0 train", "train", "2x train", "-2 train", "4"}) {
    const auto outcome = launch(arguments);
    EXPECT_EQ(outcome.code, 2) << arguments;
    EXPECT_THAT(outcome.output, HasSubstr("see tools/launch --help")) << arguments;
  }
  EXPECT_THAT(launch("--help").output, HasSubstr("tools/launch 4 train"));
}

// Environment variables for as long as it lives; those of every launcher are gone meanwhile.
class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& variables) {
    for (const char* name :
         {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMI_SIZE", "PMI_RANK", "PMIX_RANK", "SLURM_STEP_NUM_TASKS",
          "SLURM_PROCID", "SLURM_JOB_ID", "SLURM_NTASKS", "OMPI_MCA_hwloc_base_binding_policy"}) {
      if (const char* value = std::getenv(name)) before_[name] = value;
      ::unsetenv(name);
      ours_.push_back(name);
    }
    for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() {
    for (const std::string& name : ours_) ::unsetenv(name.c_str());
    for (const auto& [name, value] : before_) ::setenv(name.c_str(), value.c_str(), 1);
  }

 private:
  std::vector<std::string> ours_;
  std::map<std::string, std::string> before_;
};

std::string usage_error(const std::map<std::string, std::string>& variables) {
  const Environment environment(variables);
  try {
    find_launch();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(Launches, a_process_alone_or_in_a_batch_script_s_shell_stands_alone) {
  for (const std::map<std::string, std::string>& variables :
       {std::map<std::string, std::string>{},
        {{"SLURM_JOB_ID", "5"}, {"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}},
        {{"SLURM_JOB_ID", "5"}, {"SLURM_STEP_NUM_TASKS", "1"}}}) {
    const Environment environment(variables);
    EXPECT_FALSE(find_launch());
    EXPECT_EQ(launched_process(), 0);
  }
}

TEST(Launches, tasks_of_srun_that_cannot_find_each_other_are_wrong_usage) {
  EXPECT_THAT(usage_error({{"SLURM_JOB_ID", "5"}, {"SLURM_STEP_NUM_TASKS", "2"}}),
              AllOf(HasSubstr("srun started 2 tasks"), HasSubstr("--mpi=pmix")));
  const Launch srun{"srun", 0, 2, true};
  EXPECT_NO_THROW(check_launch(srun, 2, "MPI"));
  EXPECT_THROW(check_launch(srun, 1, "MPI"), UsageError);
}

// What each MPI leaves to its processes says nothing to the other.
TEST(Launches, a_training_that_another_mpi_s_launcher_started_ends_at_once) {
  if (!cpu_missing().empty()) GTEST_SKIP() << cpu_missing();
  if (!mpi_missing().empty()) GTEST_SKIP() << mpi_missing();
  if (std::string_view(CONVOY_TEST_EXECUTABLE).empty()) GTEST_SKIP() << "built without the executable";
  const bool is_open_mpi = mpi_version().starts_with("Open MPI");
  const TemporaryFolder folder;
  const auto outcome =
      test::run_shell("cd '" + folder.path().string() + "' && env ASAN_OPTIONS=detect_leaks=0 " +  // MPI's own
                      (is_open_mpi ? "PMI_SIZE=2 PMI_RANK=0" : "OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0") +
                      " '" CONVOY_TEST_EXECUTABLE "' train --data synthetic:100 --steps 1 --threads 1 2>&1");
  EXPECT_EQ(outcome.code, 2) << outcome.output;
  EXPECT_THAT(outcome.output, AllOf(StartsWith("convoy: the launcher started 2 processes that cannot find each other"),
                                    HasSubstr("built with " + mpi_version() + ", so")));
  EXPECT_EQ(outcome.output.find('\n'), outcome.output.size() - 1) << "one line";
  EXPECT_FALSE(fs::exists(folder.path() / "runs"));
}

TEST(Launches, a_training_that_srun_started_without_pmix_ends_at_once) {
  if (!cpu_missing().empty()) GTEST_SKIP() << cpu_missing();
  if (std::string_view(CONVOY_TEST_EXECUTABLE).empty()) GTEST_SKIP() << "built without the executable";
  const auto train = [](const std::string& variables) {
    const TemporaryFolder folder;
    return test::run_shell("cd '" + folder.path().string() + "' && env " + variables +
                           " '" CONVOY_TEST_EXECUTABLE "' train --data synthetic:100 --steps 1 --threads 1 2>&1");
  };
  const auto tasks = train("SLURM_JOB_ID=5 SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=0");
  EXPECT_EQ(tasks.code, 2) << tasks.output;
  EXPECT_THAT(tasks.output, AllOf(StartsWith("convoy: srun started 2 tasks"), HasSubstr("--mpi=pmix")));
  EXPECT_EQ(tasks.output.find('\n'), tasks.output.size() - 1) << "one line";
  EXPECT_EQ(train("SLURM_JOB_ID=5 SLURM_NTASKS=2 SLURM_PROCID=0").code, 0) << "in a batch script's shell";
}

TEST(Launches, launchers_are_known_by_their_variables) {
  {
    const Environment open_mpi({{"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "3"}});
    const auto launch = find_launch();
    ASSERT_TRUE(launch);
    EXPECT_EQ(launch->launcher, "mpirun");
    EXPECT_EQ(launch->size, 4);
    EXPECT_EQ(launch->rank, 3);
    EXPECT_FALSE(launch->chose_cores);  // two ranks get a core each by mpirun's default
    EXPECT_EQ(launched_process(), 3);
    ::setenv("OMPI_MCA_hwloc_base_binding_policy", "none", 1);
    EXPECT_TRUE(find_launch()->chose_cores);
  }
  {  // mpirun inside a job of Slurm: its daemons are srun's tasks
    const Environment both({{"OMPI_COMM_WORLD_SIZE", "4"}, {"SLURM_STEP_NUM_TASKS", "2"}});
    EXPECT_EQ(find_launch()->launcher, "mpirun");
    EXPECT_EQ(find_launch()->size, 4);
  }
  {
    const Environment mpich({{"PMI_SIZE", "3"}, {"PMI_RANK", "1"}});
    EXPECT_EQ(find_launch()->size, 3);
    EXPECT_EQ(find_launch()->rank, 1);
  }
  {
    const Environment pmix({{"PMIX_RANK", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}});
    EXPECT_EQ(find_launch()->launcher, "srun");
    EXPECT_EQ(find_launch()->size, 2);
  }
}

}  // namespace
}  // namespace convoy
