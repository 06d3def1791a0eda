// A Slurm cluster of four nodes for the cases of one test program, and a checkout of the job scripts on it; jobs are
// submitted as a user would. Every wait has an end.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "support/shell.hpp"
#include "support/temporary_folder.hpp"

namespace convoy::test {

inline constexpr const char* kEnded = "COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL";

class SlurmCluster {
 public:
  // start: what tests/slurm/cluster is told to start, more than the number of nodes.
  explicit SlurmCluster(int nodes = 4, const std::string& start = "");
  SlurmCluster(const SlurmCluster&) = delete;
  SlurmCluster& operator=(const SlurmCluster&) = delete;
  ~SlurmCluster();

  // What this machine lacks for one; what went wrong where it lacks nothing. Both empty where it is up.
  const std::string& lack() const { return lack_; }
  const std::string& failure() const { return failure_; }
  std::filesystem::path checkout() const { return folder_.path() / "checkout"; }

  // A command of the shell, in the checkout: on the login node, on a node, or what tests/slurm/cluster has more.
  ShellOutcome login(const std::string& command) const;
  ShellOutcome node(const std::string& name, const std::string& command) const;
  ShellOutcome control(const std::string& arguments) const;

  // What `command` submitted; fails the case where it did not.
  int submit(const std::string& command) const;
  // Of `scontrol show job`: JobState, ExitCode, Restarts, NodeList ...
  std::map<std::string, std::string> job(int id) const;
  // Waits for one of these states, separated by |, for as many seconds; the state that it is in at last.
  std::string wait_for(int id, const std::string& states, int seconds) const;
  // Waits until the shell's condition holds on the login node.
  bool wait_until(const std::string& condition, int seconds) const;
  // What the job printed into runs/NAME-ID.out.
  std::string output(const std::string& name, int id) const;
  std::filesystem::path run(const std::string& name, int id) const;

 private:
  TemporaryFolder folder_;
  std::string lack_, failure_;
};

// Cases of Slurm: skipped where there is no cluster. After one that fails, stderr gets what Slurm and the jobs said.
class OnSlurm : public testing::Test {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite();
  void SetUp() override;
  void TearDown() override;
  static SlurmCluster& cluster() { return *cluster_; }

 private:
  static SlurmCluster* cluster_;
};

}  // namespace convoy::test
