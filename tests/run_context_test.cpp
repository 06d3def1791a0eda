// How a worker ends whose work fails: with its failure told before anything that it holds is destroyed.
// needs: oneDNN
#include "train/run_context.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "convoy/error.hpp"
#include "support/training_run.hpp"
#include "train/train.hpp"

namespace convoy::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class RunContexts : public testing::Test {
 protected:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> nowhere_{std::fopen("/dev/null", "w"), &std::fclose};
  ProcessClock clock_;
  Progress progress_{nowhere_.get(), Progress::Style::quiet, [] { return 0.0; }};
  RunContext context_{clock_, {}, progress_};
};

TEST_F(RunContexts, give_what_the_work_gives) {
  context_.leave_by([](const std::exception&) { FAIL() << "it has not failed"; });
  EXPECT_EQ(context_.or_leave([] { return 5; }), 5);
}

TEST_F(RunContexts, of_a_worker_alone_throw_its_failure) {
  EXPECT_THROW(context_.or_leave([] { fail("the reason"); }), Error);
}

TEST_F(RunContexts, leave_once_by_the_innermost_work_that_fails) {
  std::vector<std::string> order;
  struct Held {
    std::vector<std::string>& order;
    ~Held() { order.emplace_back("destroyed"); }
  };
  context_.leave_by([&](const std::exception& error) { order.emplace_back(error.what()); });
  const auto work = [&] {
    const Held held{order};
    context_.or_leave([] { fail("the reason"); });
  };
  EXPECT_THROW(context_.or_leave(work), Error);
  EXPECT_THAT(order, ElementsAre("the reason", "destroyed"));
}

bool has_open(const fs::path& file) {
  return std::ranges::any_of(fs::directory_iterator("/proc/self/fd"), [&](const fs::directory_entry& entry) {
    std::error_code ignored;  // the directory's own descriptor
    return fs::equivalent(entry.path(), file, ignored);
  });
}

TEST_F(RunContexts, of_a_training_leave_while_it_holds_all_it_has) {
  TrainingGround ground;
  const fs::path run = ground.path() / "run";
  std::vector<std::string> said;
  context_.leave_by([&](const std::exception& error) {
    said.emplace_back(error.what());
    EXPECT_TRUE(has_open(run / "ranks" / "0.jsonl"));
  });
  const RunConfig config = resolve_config("", {{"data", "synthetic:160"},
                                               {"model", ground.write("plain.json", kPlainNetwork)},
                                               {"learning-rate", "1e9"},
                                               {"batch", "16"},
                                               {"epochs", "1"},
                                               {"threads", "1"},
                                               {"log-ranks", "true"},
                                               {"out", run.string()}});
  const std::unique_ptr<Communicator> self = make_self_communicator();
  EXPECT_THROW(train(config, *self, context_), Error);
  EXPECT_THAT(said, ElementsAre(HasSubstr("not a finite number")));
  EXPECT_FALSE(has_open(run / "ranks" / "0.jsonl"));
}

}  // namespace
}  // namespace convoy::test
