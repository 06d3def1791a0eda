// What workers must have in common before the first step, and the line that says what differs where.
#include "train/agreement.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <vector>

#include "convoy/error.hpp"
#include "support/stub_backend.hpp"
#include "support/thread_ranks.hpp"
#include "train/devices.hpp"
#include "train/workers.hpp"

namespace convoy {
namespace {

using testing::AllOf;
using testing::Each;
using testing::EndsWith;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

// What each of `workers` workers throws when it calls `check(communicator)`; "" where it does not.
template <typename Check>
std::vector<std::string> refusals(int workers, const Check& check) {
  std::vector<std::string> found(static_cast<std::size_t>(workers));
  test::run_ranks(workers, [&](Communicator& communicator) {
    try {
      check(communicator);
    } catch (const Error& error) {
      found[static_cast<std::size_t>(communicator.rank())] = error.what();
    }
  });
  return found;
}

// Of workers that state these values of one item.
std::vector<std::string> refusals_of(const std::vector<std::string>& values) {
  return refusals(static_cast<int>(values.size()), [&](Communicator& communicator) {
    const Agreed items[] = {{"weather", "fair"},
                            {"configuration", values[static_cast<std::size_t>(communicator.rank())]}};
    agree(communicator, items);
  });
}

TEST(Agreement, equal_workers_go_on) {
  EXPECT_THAT(refusals_of({"a", "a", "a"}), Each(""));
  EXPECT_THAT(refusals_of({"a"}), Each(""));
  EXPECT_THAT(refusals_of({"", ""}), Each(""));
}

TEST(Agreement, every_worker_throws_the_same_line_that_names_the_one_apart) {
  const std::vector<std::string> lines = refusals_of({"a", "a", "b"});
  EXPECT_THAT(lines, SizeIs(3));
  EXPECT_THAT(lines, Each("worker 2 and worker 0 differ in configuration: 'b' and 'a'"));
}

TEST(Agreement, all_that_differ_from_the_first_are_named) {
  EXPECT_THAT(refusals_of({"a", "b", "a", "c"}), Each(HasSubstr("workers 1, 3 and worker 0 differ")));
  EXPECT_THAT(refusals_of({"b", "a", "a"}), Each(HasSubstr("workers 1, 2 and worker 0 differ")));
}

TEST(Agreement, of_a_long_text_the_first_line_that_differs_is_shown) {
  const std::vector<std::string> lines =
      refusals_of({"epochs = 1\nseed = 1\nbatch = 8\n", "epochs = 1\nseed = 23\nbatch = 9\n"});
  EXPECT_THAT(lines, Each(EndsWith("'seed = 23' and 'seed = 1'")));
  EXPECT_THAT(refusals_of({"seed = 1", "seed = 1\nbatch = 9"}), Each(HasSubstr("batch = 9")));
  EXPECT_THAT(refusals_of({"seed = 1\n", "seed = 1\nbatch = 9"}), Each(EndsWith("'batch = 9' and ''")));
  EXPECT_THAT(refusals_of({"seed = 1\n", "seed = 1"}), Each(HasSubstr("configuration")));
}

TEST(Agreement, of_a_long_line_the_part_around_the_difference_is_shown) {
  const std::string path(300, 'x');
  const std::vector<std::string> lines = refusals_of({path + "/first/" + path, path + "/other/" + path});
  EXPECT_THAT(lines, Each(AllOf(HasSubstr("x/other/x"), HasSubstr("x/first/x"))));
  for (const std::string& line : lines) EXPECT_LT(line.size(), 250U) << line;
}

// check_agreement by two workers, the second with what `change` makes of configuration, data and layout.
struct Stated {
  RunConfig config;
  std::uint64_t data = 0x1234;
  ParamLayout layout;
};
template <typename Change>
std::vector<std::string> refusals_after(const Change& change) {
  Stated first;
  first.layout.parameters.push_back({.name = "conv1.weight", .shape = {8, 3, 3, 3}});
  Stated second = first;
  change(second);
  return refusals(2, [&](Communicator& communicator) {
    const Stated& mine = communicator.rank() == 0 ? first : second;
    check_agreement(communicator, mine.config, mine.data, mine.layout);
  });
}

TEST(Agreement, configuration_data_and_layout_are_compared) {
  EXPECT_THAT(refusals_after([](Stated&) {}), Each(""));
  EXPECT_THAT(refusals_after([](Stated& stated) { stated.config.seed = 2; }),
              Each("worker 1 and worker 0 differ in configuration: 'seed = 2' and 'seed = 0'"));
  EXPECT_THAT(refusals_after([](Stated& stated) { stated.data = 0x1235; }),
              Each(AllOf(StartsWith("worker 1 and worker 0 differ in data"), HasSubstr("1235"))));
  EXPECT_THAT(refusals_after([](Stated& stated) { stated.layout.parameters[0].shape[1] = 1; }),
              Each(AllOf(HasSubstr("layout of the weights"), HasSubstr("conv1.weight [8,1,3,3]"))));
}

TEST(Agreement, what_every_worker_has_to_itself_may_differ) {
  EXPECT_THAT(refusals_after([](Stated& stated) {
                stated.config.threads = 3;
                stated.config.out = "elsewhere";
              }),
              Each(""));
}

// Of workers that --device auto has given these devices.
std::vector<std::string> refusals_of_devices(const std::vector<DeviceChoice>& devices) {
  return refusals(static_cast<int>(devices.size()), [&](Communicator& communicator) {
    RunConfig config;
    config.device = devices[static_cast<std::size_t>(communicator.rank())];
    test::StubBackend backend;
    RankProgress progress;
    EXPECT_EQ(connect_devices(communicator, backend, config, progress), nullptr);
  });
}

TEST(Agreement, a_worker_with_another_kind_of_device_is_named_before_devices_meet) {
  constexpr DeviceChoice kCpu = DeviceChoice::cpu, kCuda = DeviceChoice::cuda;
  EXPECT_THAT(refusals_of_devices({kCpu, kCpu}), Each(""));
  EXPECT_THAT(refusals_of_devices({kCuda, kCuda, kCpu}),
              Each(AllOf(StartsWith("worker 2 and worker 0 differ in device "), EndsWith(": 'cpu' and 'cuda'"))));
}

}  // namespace
}  // namespace convoy
