// What preflight finds of hosts, folders and links, and how it says so.
// labels: mpi
// needs: oneDNN
#include "preflight/preflight.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <vector>

#include "cpu/backend.hpp"
#include "mpi/mpi_communicator.hpp"
#include "preflight/host_facts.hpp"
#include "preflight/links.hpp"
#include "preflight/shared_folder.hpp"
#include "support/shell.hpp"
#include "support/temporary_folder.hpp"
#include "support/thread_ranks.hpp"

namespace convoy {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

HostFacts good_host() {
  return {.host = "n1", .shared_memory = 8'000'000'000, .interfaces = {{"eth0", "10.0.0.1", 10'000}}};
}

TEST(PreflightHosts, of_a_good_host_nothing_is_said) { EXPECT_THAT(judge(good_host(), 4, true, true), IsEmpty()); }

TEST(PreflightHosts, small_shared_memory_is_a_problem_where_nccl_connects_several_workers) {
  HostFacts facts = good_host();
  facts.shared_memory = 64'000'000;
  ASSERT_THAT(judge(facts, 2, true, false), SizeIs(1));
  EXPECT_TRUE(judge(facts, 2, true, false)[0].is_problem);
  EXPECT_THAT(judge(facts, 2, true, false)[0].text,
              AllOf(HasSubstr("n1: /dev/shm has 64 MB"), HasSubstr("--shm-size")));
  EXPECT_FALSE(judge(facts, 2, false, false)[0].is_problem);
  EXPECT_THAT(judge(facts, 1, true, false), IsEmpty());
}

TEST(PreflightHosts, memory_that_may_not_be_locked_is_a_problem_with_infiniband_between_hosts) {
  HostFacts facts = good_host();
  facts.lockable = 64'000;
  EXPECT_THAT(judge(facts, 2, true, true), IsEmpty());
  facts.infiniband = {"mlx5_0"};
  EXPECT_THAT(judge(facts, 2, true, false), IsEmpty());
  ASSERT_THAT(judge(facts, 2, true, true), SizeIs(1));
  EXPECT_THAT(judge(facts, 2, true, true)[0].text, HasSubstr("ulimit -l"));
}

TEST(PreflightHosts, of_several_networks_the_fastest_is_proposed_unless_one_was_chosen) {
  HostFacts facts = good_host();
  facts.interfaces.push_back({"docker0", "172.17.0.1", {}});
  ASSERT_THAT(judge(facts, 2, true, true), SizeIs(1));
  EXPECT_THAT(judge(facts, 2, true, true)[0].text, HasSubstr("NCCL_SOCKET_IFNAME=eth0"));
  EXPECT_THAT(judge(facts, 2, false, true)[0].text, HasSubstr("OMPI_MCA_btl_tcp_if_include=eth0"));
  EXPECT_FALSE(judge(facts, 2, true, true)[0].is_problem);
  facts.environment = {"NCCL_SOCKET_IFNAME=docker0"};
  EXPECT_THAT(judge(facts, 2, true, true), IsEmpty());
  facts.environment.clear();
  EXPECT_THAT(judge(facts, 2, true, false), IsEmpty()) << "one host needs none";
}

TEST(PreflightHosts, a_host_without_network_is_a_problem_among_several) {
  HostFacts facts = good_host();
  facts.interfaces.clear();
  ASSERT_THAT(judge(facts, 2, true, true), SizeIs(1));
  EXPECT_TRUE(judge(facts, 2, true, true)[0].is_problem);
}

TEST(PreflightLinks, all_pairs_are_timed_once) {
  std::mutex mutex;
  std::vector<std::vector<Link>> found;
  test::run_ranks(5, [&](Communicator& communicator) {
    const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 1});
    int rounds = 0;
    std::vector<Link> links = time_links(*backend, communicator, 1000, [&] { ++rounds; });
    EXPECT_EQ(rounds, 7);  // of eight, three of whom are not there
    const std::lock_guard lock(mutex);
    found.push_back(std::move(links));
  });
  ASSERT_THAT(found, SizeIs(5));
  ASSERT_THAT(found[0], SizeIs(10));
  std::vector<std::pair<int, int>> pairs;
  for (std::size_t i = 0; i < found[0].size(); ++i) {
    const Link& link = found[0][i];
    EXPECT_LT(link.first, link.second);
    EXPECT_GT(link.bytes_per_second, 0);
    EXPECT_LT(link.bytes_per_second, 1e13) << "no time was taken";
    EXPECT_GT(link.seconds_of_smallest, 0);
    EXPECT_EQ(found[4][i].bytes_per_second, link.bytes_per_second) << "every worker knows all";
    pairs.emplace_back(link.first, link.second);
  }
  std::ranges::sort(pairs);
  EXPECT_EQ(std::ranges::adjacent_find(pairs), pairs.end());
}

TEST(PreflightLinks, a_slow_one_is_named_among_its_kind) {
  const std::vector<Link> links = {{0, 1, 20e9, 1e-5},  {2, 3, 20e9, 1e-5},  {0, 2, 2e9, 3e-5},
                                   {0, 3, 2.1e9, 3e-5}, {1, 2, 0.3e9, 3e-5}, {1, 3, 2e9, 3e-5}};
  const LinkReport found = report(links, {"a", "a", "b", "b"});
  EXPECT_THAT(found.lines, ElementsAre(HasSubstr("2 pairs within a host: 20.00 to 20.00 GB/s"),
                                       HasSubstr("4 pairs between hosts: 0.30 to 2.10 GB/s, median 2.00")));
  ASSERT_THAT(found.findings, SizeIs(1));
  EXPECT_TRUE(found.findings[0].is_problem);
  EXPECT_THAT(found.findings[0].text, AllOf(HasSubstr("workers 1 (a) and 2 (b): 0.30 GB/s"), HasSubstr("2.00")));
}

TEST(PreflightLinks, those_within_hosts_come_before_those_between_them_each_kind_by_its_bandwidth) {
  const std::vector<Link> links = {{0, 1, 20e9, 1e-5}, {0, 2, 3e9, 3e-5}, {1, 2, 2e9, 3e-5}, {0, 3, 1e9, 3e-5}};
  const std::vector<LinkKind> kinds = kinds_of(links, {"a", "a", "b", "b"});
  ASSERT_THAT(kinds, SizeIs(2));
  EXPECT_TRUE(kinds[0].is_within_host);
  EXPECT_EQ(kinds[0].median().bytes_per_second, 20e9);
  EXPECT_FALSE(kinds[1].is_within_host);
  EXPECT_EQ(kinds[1].links.front().bytes_per_second, 1e9);
  EXPECT_EQ(kinds[1].median().bytes_per_second, 2e9);
  ASSERT_THAT(kinds_of(links, {"a", "b", "c", "d"}), SizeIs(1));
}

TEST(PreflightFolder, one_that_all_see_is_good_and_left_as_it_was) {
  const TemporaryFolder folder;
  test::run_ranks(3, [&](Communicator& communicator) {
    EXPECT_THAT(check_shared_folder(folder.path() / "runs", communicator), IsEmpty());
  });
  EXPECT_TRUE(std::filesystem::is_empty(folder.path() / "runs"));
}

TEST(PreflightFolder, one_that_others_do_not_see_is_a_problem) {
  const TemporaryFolder first, second;  // a worker that looks elsewhere, as on a host with a disk of its own
  test::run_ranks(2, [&](Communicator& communicator) {
    const auto& own = communicator.rank() == 0 ? first : second;
    const Findings findings = check_shared_folder(own.path(), communicator, 0.2);
    ASSERT_THAT(findings, SizeIs(1));
    EXPECT_THAT(findings[0].text, HasSubstr("choose a folder that all hosts share"));
  });
}

TEST(PreflightFolder, one_that_cannot_be_written_is_a_problem) {
  test::run_ranks(2, [&](Communicator& communicator) {
    const Findings findings = check_shared_folder("/proc/nothing", communicator);
    ASSERT_THAT(findings, SizeIs(1));
    EXPECT_THAT(findings[0].text, HasSubstr("cannot be written"));
  });
}

class PreflightCommand : public testing::Test {
 protected:
  void SetUp() override {
    if (std::string_view(CONVOY_TEST_EXECUTABLE).empty()) GTEST_SKIP() << "built without the executable";
    if (!mpi_missing().empty()) GTEST_SKIP() << mpi_missing();
    if (test::run_shell("command -v mpirun").code != 0) GTEST_SKIP() << "no mpirun on the PATH";
  }
  static test::ShellOutcome preflight(const std::string& options) {
    return test::run_shell("NCCL_DEBUG=WARN CONVOY='" CONVOY_TEST_EXECUTABLE "' '" CONVOY_TEST_SOURCE_DIR
                           "/tools/launch' 2 preflight --device cpu --megabytes 1 " +
                           options + " 2>&1");
  }
};

TEST_F(PreflightCommand, prints_workers_host_variables_data_and_links_and_says_ready) {
  const TemporaryFolder folder;
  const auto outcome = preflight("--data synthetic:100 --out '" + folder.path().string() + "'");
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  for (const char* part : {"2 workers on 1 host, averaging by mpi", "worker   1  ", "in force: NCCL_DEBUG=WARN",
                           "data: SYNTHETIC, 100 training", "1 pair within a host: ", "\nready\n"}) {
    EXPECT_THAT(outcome.output, HasSubstr(part));
  }
}

TEST_F(PreflightCommand, ends_with_1_and_the_problem) {
  const auto outcome = preflight("--data /nowhere");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("PROBLEM: data on "), HasSubstr("/nowhere: no such file or folder"),
                                    HasSubstr("1 problem"), Not(HasSubstr("ready"))));
}

}  // namespace
}  // namespace convoy
