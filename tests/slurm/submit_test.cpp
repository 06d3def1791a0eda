// tools/submit, without a Slurm: what it refuses, and the sbatch line that it makes of slurm/site.env.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "support/shell.hpp"
#include "support/temporary_folder.hpp"

namespace convoy {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// A checkout with a program to copy and an sbatch that takes everything.
class Submit : public testing::Test {
 protected:
  void SetUp() override {
    const std::string folder = folder_.path().string();
    const auto outcome = test::run_shell(
        "cd " + folder +
        " && mkdir build bin && cp -r '" CONVOY_TEST_SOURCE_DIR "/slurm' '" CONVOY_TEST_SOURCE_DIR
        "/tools' . && rm -f slurm/site.env && printf '#!/bin/sh\\n' > build/convoy && cp build/convoy bin/sbatch && "
        "chmod +x build/convoy bin/sbatch");
    ASSERT_EQ(outcome.code, 0) << outcome.output;
  }
  test::ShellOutcome submit(const std::string& arguments, const std::string& environment = "") const {
    return test::run_shell("cd " + folder_.path().string() + " && PATH=$PWD/bin:$PATH " + environment +
                           " tools/submit " + arguments + " 2>&1");
  }
  void write_site(const std::string& text) const { std::ofstream(folder_.path() / "slurm" / "site.env") << text; }

  TemporaryFolder folder_;
};

TEST_F(Submit, without_a_script_lists_them_with_a_line_each) {
  const auto outcome = submit("");
  EXPECT_EQ(outcome.code, 2);
  std::size_t scripts = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder_.path() / "slurm")) {
    if (file.path().extension() != ".sbatch") continue;
    ++scripts;
    EXPECT_THAT(outcome.output, testing::ContainsRegex("\n?  " + file.path().stem().string() + " +[A-Z]"));
  }
  EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), static_cast<long>(scripts) + 1);
}

TEST_F(Submit, refuses_in_one_line_what_it_cannot_submit) {
  const auto expect_refusal = [](const test::ShellOutcome& outcome, const std::string& text) {
    EXPECT_EQ(outcome.code, 2) << outcome.output;
    EXPECT_THAT(outcome.output, AllOf(StartsWith("tools/submit: "), HasSubstr(text)));
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
  };
  expect_refusal(submit("trian"), "no job script trian");
  expect_refusal(submit("train --gpus-per-node"), "--gpus-per-node needs a number");
  expect_refusal(submit("train-requeue --elastic=2"), "--elastic=2: a number below --nodes=2 expected");
  expect_refusal(submit("train-requeue --elastic=few"), "--elastic=few: a number");
  expect_refusal(submit("train-requeue --nodes=1-4 --elastic"), "a number below --nodes=1-4 expected");
  expect_refusal(submit("train", "CONVOY_SITE=nowhere.env"), "CONVOY_SITE: no file nowhere.env");
  write_site("CONVOY_GPU_REQUEST=all");
  expect_refusal(submit("train"), "CONVOY_GPU_REQUEST=all");
  write_site("");
  std::filesystem::remove(folder_.path() / "bin" / "sbatch");
  if (test::run_shell("command -v sbatch").code != 0) expect_refusal(submit("train"), "no sbatch on the PATH");
  std::filesystem::remove(folder_.path() / "build" / "convoy");
  std::ofstream(folder_.path() / "bin" / "sbatch") << "#!/bin/sh\n";
  std::filesystem::permissions(folder_.path() / "bin" / "sbatch", std::filesystem::perms::owner_all);
  expect_refusal(submit("train"), "build/convoy is not there");
}

TEST_F(Submit, the_site_is_asked_before_the_command_line_and_the_environment_before_the_site) {
  write_site(
      "CONVOY_ACCOUNT=physics\nCONVOY_PARTITION=gpu\nCONVOY_QOS='over night'\nCONVOY_CONSTRAINT=h100\n"
      "CONVOY_GPU_REQUEST=gres\nCONVOY_GPU_TYPE=h100\n");
  const auto outcome =
      submit("train --gpus-per-node=2 --time=5 -- --recipe 'my recipe.toml'", "CONVOY_PARTITION=short");
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr(" --account=physics --partition=short --qos=over\\ night --constraint=h100 "
                              "--gres=gpu:h100:2 --time=5 "),
                    HasSubstr("/train.sbatch --recipe my\\ recipe.toml")));
}

TEST_F(Submit, the_job_runs_a_copy_of_all_that_it_needs) {
  ASSERT_EQ(submit("train-multinode", "CONVOY_GPU_REQUEST=none").code, 0);
  const auto outcome = test::run_shell("cd " + folder_.path().string() +
                                       "/runs/submitted/train-multinode.* && find . -type f | sort && "
                                       "cat train-multinode.sbatch");
  EXPECT_THAT(outcome.output,
              HasSubstr("./build/convoy\n./slurm/common.sh\n./slurm/rank\n./slurm/site.env\n./tools/common.sh\n"
                        "./tools/launch\n./train-multinode.sbatch\n"));
  EXPECT_THAT(outcome.output, Not(HasSubstr("gpus-per-node")));
}

TEST_F(Submit, an_elastic_job_asks_for_a_range_of_nodes_and_shares_out_one_task) {
  const auto plain = submit("train-requeue --elastic --time=5");
  EXPECT_THAT(plain.output, AllOf(HasSubstr(" CONVOY_RANKS_PER_NODE=4 sbatch "),
                                  HasSubstr(" --time=5 --nodes=1-2 --cpus-per-task=32 --requeue ")));
  const auto given = submit("train-multinode --elastic=3 -N 8 --ntasks-per-node=2 --cpus-per-task 5");
  EXPECT_THAT(given.output,
              AllOf(HasSubstr(" CONVOY_RANKS_PER_NODE=2 sbatch "), HasSubstr(" --nodes=3-8 --cpus-per-task=10 ")));
  EXPECT_THAT(given.output, Not(HasSubstr("ntasks")));
  const auto scripts = test::run_shell("cat " + folder_.path().string() + "/runs/submitted/*/*.sbatch");
  EXPECT_THAT(scripts.output, AllOf(HasSubstr("#SBATCH --nodes=2  --gpus-per-node=4"), Not(HasSubstr("ntasks"))));
}

TEST_F(Submit, with_live_the_job_runs_the_checkout_itself) {
  const auto outcome = submit("train --live");
  EXPECT_THAT(outcome.output, HasSubstr("CONVOY_HOME=" + folder_.path().string() + " "));
}

// Of a line Apptainer reads the first two words, a file and where it goes, and no others.
TEST(Container, takes_what_a_build_needs_a_file_or_folder_a_line) {
  const auto files = test::run_shell("sed -n '/^%files/,/^$/p' '" CONVOY_TEST_SOURCE_DIR "/slurm/convoy.def'");
  std::istringstream lines(files.output);
  std::string line;
  std::getline(lines, line);
  std::vector<std::string> sources;
  while (std::getline(lines, line) && !line.empty()) {
    std::istringstream words(line);
    std::string source, destination, more;
    words >> source >> destination >> more;
    EXPECT_TRUE(std::filesystem::exists(std::filesystem::path(CONVOY_TEST_SOURCE_DIR) / source)) << line;
    EXPECT_EQ(destination, "/opt/convoy/") << line;
    EXPECT_EQ(more, "") << line;
    sources.push_back(source);
  }
  EXPECT_THAT(sources,
              testing::IsSupersetOf({"CMakeLists.txt", "CMakePresets.json", "cuda", "host", "include", "tools"}));
}

}  // namespace
}  // namespace convoy
