// Run folders: made, locked while alive, moved aside when done, never mixed.
#include "io/run_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>

#include "convoy/error.hpp"
#include "support/temporary_folder.hpp"

namespace convoy {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string refusal(const std::filesystem::path& path) {
  try {
    RunFolder::create(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "made";
}

TEST(RunFolders, a_new_run_gets_its_folder_and_the_folders_above_it) {
  const TemporaryFolder folder;
  const RunFolder run = RunFolder::create(folder.path() / "a" / "b");
  EXPECT_TRUE(std::filesystem::is_directory(folder.path() / "a" / "b"));
  EXPECT_FALSE(run.moved_to().has_value());
}

TEST(RunFolders, a_finished_run_is_moved_aside_whole_and_the_next_one_too) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "run";
  for (const char* who : {"first", "second", "third"}) RunFolder::create(path).write_text("summary.json", who);
  EXPECT_EQ(text_of(folder.path() / "run" / "summary.json"), "third");
  EXPECT_EQ(text_of(folder.path() / "run.1" / "summary.json"), "first");
  EXPECT_EQ(text_of(folder.path() / "run.2" / "summary.json"), "second");
  const RunFolder fourth = RunFolder::create(path);
  EXPECT_EQ(fourth.moved_to(), folder.path() / "run.3");
  EXPECT_FALSE(std::filesystem::exists(path / "summary.json"));
}

TEST(RunFolders, a_trailing_slash_changes_nothing) {
  const TemporaryFolder folder;
  RunFolder::create(folder.path() / "run/").write_text("summary.json", "old");
  const RunFolder run = RunFolder::create(folder.path() / "run/");
  EXPECT_EQ(run.moved_to(), folder.path() / "run.1");
}

TEST(RunFolders, a_link_stays_one_and_the_run_behind_it_is_moved_aside_where_it_lies) {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  fs::create_directory(folder.path() / "disk");
  fs::create_symlink("disk/run/", folder.path() / "link");  // to nothing yet
  RunFolder::create(folder.path() / "link").write_text("summary.json", "old");
  const RunFolder run = RunFolder::create(folder.path() / "link");
  EXPECT_TRUE(fs::is_symlink(folder.path() / "link"));
  EXPECT_EQ(run.moved_to(), folder.path() / "disk" / "run.1");
  EXPECT_EQ(text_of(folder.path() / "disk" / "run.1" / "summary.json"), "old");
  EXPECT_TRUE(fs::is_directory(folder.path() / "disk" / "run"));
}

TEST(RunFolders, a_live_run_is_never_moved_and_the_message_names_its_process) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "run";
  RunFolder alive = RunFolder::create(path);
  alive.write_text("summary.json", "alive");
  EXPECT_THAT(refusal(path), HasSubstr("a run is writing there (process " + std::to_string(::getpid())));
  EXPECT_EQ(text_of(path / "summary.json"), "alive");
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "run.1"));
}

TEST(RunFolders, the_lock_of_a_killed_process_is_gone_with_it) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "run";
  const pid_t child = ::fork();
  if (child == 0) {
    const RunFolder run = RunFolder::create(path);
    run.write_text("summary.json", "killed");
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(RunFolder::create(path).moved_to(), folder.path() / "run.1");
}

TEST(RunFolders, processes_that_start_together_never_share_a_folder) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "run";
  constexpr int kProcesses = 12;
  for (int i = 0; i < kProcesses; ++i) {
    if (::fork() != 0) continue;
    try {
      RunFolder run = RunFolder::create(path);
      for (int line = 0; line < 50; ++line) run.append_line("metrics.jsonl", std::to_string(i));
    } catch (const Error&) {
      ::_exit(3);
    }
    ::_exit(0);
  }
  int done = 0;
  for (int i = 0, status = 0; i < kProcesses; ++i) {
    ::wait(&status);
    ASSERT_TRUE(WIFEXITED(status));
    if (WEXITSTATUS(status) == 0) ++done;
  }
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    std::ifstream metrics(entry.path() / "metrics.jsonl");
    std::string first, line;
    int lines = 0;
    while (std::getline(metrics, line)) {
      if (lines++ == 0) first = line;
      EXPECT_EQ(line, first) << entry.path();
    }
    if (lines == 0) continue;
    ++found;
    EXPECT_EQ(lines, 50) << entry.path();
  }
  EXPECT_GE(done, 1);
  EXPECT_EQ(found, done);
}

TEST(RunFolders, a_folder_with_other_files_is_refused_and_left_alone) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "thesis.tex") << "years";
  EXPECT_THAT(refusal(folder.path()), HasSubstr("holds other files than a run's"));
  EXPECT_EQ(text_of(folder.path() / "thesis.tex"), "years");
}

TEST(RunFolders, a_file_of_that_name_is_refused) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "run") << "x";
  EXPECT_THAT(refusal(folder.path() / "run"), HasSubstr("a folder expected, a file found"));
}

TEST(RunFolders, an_empty_folder_is_used) {
  const TemporaryFolder folder;
  EXPECT_FALSE(RunFolder::create(folder.path()).moved_to().has_value());
}

TEST(RunFolders, the_default_name_has_recipe_date_time_and_job) {
  ::unsetenv("SLURM_JOB_ID");
  EXPECT_THAT(default_run_path("fashion").string(), MatchesRegex("runs/fashion-[0-9]{8}-[0-9]{6}"));
  ::setenv("SLURM_JOB_ID", "4711", 1);
  EXPECT_THAT(default_run_path("fashion").string(), MatchesRegex("runs/fashion-[0-9]{8}-[0-9]{6}-4711"));
  ::unsetenv("SLURM_JOB_ID");
}

}  // namespace
}  // namespace convoy
