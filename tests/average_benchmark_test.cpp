// What an average over the workers is set beside: bare all-reduces, and a step of each worker's share of the batch.
// needs: oneDNN
#include "train/average_benchmark.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <vector>

#include "convoy/error.hpp"
#include "cpu/backend.hpp"
#include "support/smooth_networks.hpp"
#include "support/temporary_folder.hpp"
#include "support/thread_ranks.hpp"

namespace convoy {
namespace {

using testing::ElementsAre;

class AverageBenchmark : public testing::Test {
 protected:
  AverageBenchmark() { std::ofstream(folder_.path() / "smooth.json") << test::kSmoothNetwork; }

  std::string smooth() const { return (folder_.path() / "smooth.json").string(); }
  // Of every worker.
  static std::vector<AverageTimes> measure(int workers, const std::string& model, int batch) {
    std::vector<AverageTimes> times(static_cast<std::size_t>(workers));
    RunConfig config;
    config.model = model;
    config.batch = batch;
    test::run_ranks(workers, [&](Communicator& communicator) {
      const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 1});
      RankProgress progress;
      times[static_cast<std::size_t>(communicator.rank())] =
          measure_average(*backend, communicator, config, 2, progress);
    });
    return times;
  }

 private:
  TemporaryFolder folder_;
};

std::vector<std::size_t> bytes_of(const AverageTimes& times) {
  std::vector<std::size_t> bytes;
  for (const AverageTimes::Size& size : times.sizes) bytes.push_back(size.bytes);
  return bytes;
}

TEST_F(AverageBenchmark, sizes_rise_from_one_number_to_the_whole_model) {
  EXPECT_THAT(bytes_of(measure(2, "seed", 2).front()), ElementsAre(4, 1 << 16, 1 << 20, 1'427'712));
  const std::vector<AverageTimes> small = measure(2, smooth(), 2);
  EXPECT_THAT(bytes_of(small.front()), ElementsAre(4, small.front().whole().bytes));
  EXPECT_LT(small.front().whole().bytes, 1 << 16);
}

TEST_F(AverageBenchmark, everything_is_timed_on_every_worker) {
  for (const AverageTimes& times : measure(3, smooth(), 3)) {
    EXPECT_EQ(times.network, "smooth");
    EXPECT_EQ(times.workers, 3);
    for (const AverageTimes::Size& size : times.sizes) {
      EXPECT_GT(size.average, 0);
      EXPECT_GT(size.bare, 0);
    }
    EXPECT_GT(times.step, 0);
    EXPECT_GT(times.check, 0);
    EXPECT_GT(times.refresh, 0);
    EXPECT_DOUBLE_EQ(times.share_of_step(), (times.whole().average + times.check + times.refresh) / times.step);
  }
}

TEST_F(AverageBenchmark, a_step_takes_its_workers_share_of_the_batch) {
  const std::vector<AverageTimes> times = measure(2, smooth(), 5);
  EXPECT_EQ(times[0].images, 3);
  EXPECT_EQ(times[1].images, 2);
}

TEST_F(AverageBenchmark, a_batch_that_is_too_small_to_share_is_wrong_usage) {
  EXPECT_THROW(measure(3, smooth(), 2), UsageError);
}

TEST(BusBandwidth, is_what_each_link_of_a_ring_carries) {
  EXPECT_DOUBLE_EQ(bus_bytes_per_second(1000, 0.5, 2), 2000);
  EXPECT_DOUBLE_EQ(bus_bytes_per_second(1000, 0.5, 8), 3500);
}

TEST(BareAllReduce, sums_so_often_and_is_no_part_of_the_cost) {
  std::vector<std::vector<float>> found(3);
  test::run_ranks(3, [&](Communicator& communicator) {
    std::vector<float> values(5, static_cast<float>(communicator.rank() + 1));
    communicator.bare_all_reduce({values.data(), 4}, 3);
    EXPECT_EQ(communicator.cost().collectives, 0);
    found[static_cast<std::size_t>(communicator.rank())] = values;
  });
  for (int rank = 0; rank < 3; ++rank) {
    EXPECT_THAT(found[static_cast<std::size_t>(rank)], ElementsAre(54, 54, 54, 54, rank + 1));
  }
}

}  // namespace
}  // namespace convoy
