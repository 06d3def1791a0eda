// labels: gpu
// The communicator between GPUs: in place, ordered with the compute stream, equal on every rank. Ranks are threads of
// this process, each with a device of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "convoy/error.hpp"
#include "support/backends.hpp"
#include "support/thread_ranks.hpp"
#include "train/device_module.hpp"

namespace convoy::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr double kSeconds = 60;  // for ranks to meet

// A rank with its device; `connect` is collective.
struct Rank {
  Rank(Communicator& host, int device, bool deterministic = false)
      : backend(open_device_module("cuda").module->make({.index = device, .deterministic = deterministic})),
        communicator(open_device_module("cuda").module->connect(host, *backend, {.limit_seconds = kSeconds})) {}

  // Values that no other rank has, some of them such that fp32 sums depend on the order.
  std::vector<float> own_values(std::size_t count) const {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) {
      values[i] = std::sin(static_cast<float>(i) + 0.7F * static_cast<float>(communicator->rank())) * 1e3F;
    }
    return values;
  }
  Arena upload(const std::vector<float>& values) {
    Arena arena = backend->allocate(values.size() * sizeof(float), "values", Communicated::yes);
    backend->upload(arena.data(), values.data(), arena.bytes());
    return arena;
  }
  std::vector<float> download(const Arena& arena) {
    std::vector<float> values(arena.bytes() / sizeof(float));
    backend->download(values.data(), arena.data(), arena.bytes());
    return values;
  }

  std::unique_ptr<Backend> backend;
  std::unique_ptr<Communicator> communicator;
};

class NcclOnCuda : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (const std::string lacks = lacks_gpus(GetParam()); !lacks.empty()) GTEST_SKIP() << lacks;
  }
};

INSTANTIATE_TEST_SUITE_P(cuda_devices, NcclOnCuda, testing::Values(1, 2, 4));

TEST_P(NcclOnCuda, average_leaves_the_same_sum_on_every_rank) {
  for (const std::size_t count : {1, 257, 4096, 100003}) {
    std::vector<std::vector<float>> given(GetParam()), found(GetParam());
    run_ranks(GetParam(), [&](Communicator& host) {
      Rank rank(host, host.rank());
      const Arena arena = rank.upload(given[host.rank()] = rank.own_values(count));
      rank.communicator->average_and_join({arena.floats(), count}, 1);
      found[host.rank()] = rank.download(arena);
    });
    for (std::size_t i = 0; i < count; ++i) {
      double expected = 0;
      for (const auto& values : given) expected += static_cast<double>(values[i]);
      ASSERT_NEAR(found[0][i], expected, 1e3 * GetParam() * 1e-6) << i << " of " << count;
    }
    for (const auto& values : found) EXPECT_EQ(values, found[0]);
  }
}

TEST_P(NcclOnCuda, deterministic_averages_add_in_the_order_of_ranks) {
  for (const std::size_t count : {1, 3, 257, 4096, 100003, 5}) {
    for (const std::size_t offset : {0, 1}) {  // from 16-byte boundaries and from others
      std::vector<std::vector<float>> given(GetParam()), found(GetParam());
      run_ranks(GetParam(), [&](Communicator& host) {
        Rank rank(host, host.rank(), true);
        const Arena arena = rank.upload(given[host.rank()] = rank.own_values(count + offset));
        rank.communicator->average_and_join({arena.floats() + offset, count}, 1);
        found[host.rank()] = rank.download(arena);
      });
      for (std::size_t i = offset; i < count + offset; ++i) {
        float expected = given[0][i];
        for (int r = 1; r < GetParam(); ++r) expected += given[static_cast<std::size_t>(r)][i];
        for (const auto& values : found) ASSERT_EQ(values[i], expected) << i << " of " << count;
      }
      if (offset == 1) ASSERT_EQ(found[0][0], given[0][0]) << "before the range";
    }
  }
}

TEST_P(NcclOnCuda, deterministic_averages_of_several_sizes_may_be_under_way) {
  constexpr std::size_t kCount = 1000;
  std::vector<std::vector<float>> found(GetParam());
  run_ranks(GetParam(), [&](Communicator& host) {
    Rank rank(host, host.rank(), true);
    const Arena arena = rank.upload(std::vector<float>(3 * kCount, 1));
    const Pending small = rank.communicator->average({arena.floats(), kCount});
    const Pending large = rank.communicator->average({arena.floats() + kCount, 2 * kCount});
    rank.communicator->join(large);
    rank.communicator->join(small);
    found[host.rank()] = rank.download(arena);
  });
  for (const auto& values : found) EXPECT_EQ(values, std::vector<float>(3 * kCount, static_cast<float>(GetParam())));
}

TEST_P(NcclOnCuda, attached_arenas_average_as_others_do) {
  constexpr std::size_t kCount = 70001;
  for (const Use use : {Use::most, Use::some}) {
    std::vector<std::vector<float>> found(GetParam());
    run_ranks(GetParam(), [&](Communicator& host) {
      Rank rank(host, host.rank());
      const Arena arena = rank.upload(std::vector<float>(kCount, static_cast<float>(host.rank() + 1)));
      const Attachment attachment = rank.communicator->attach(arena, use);
      rank.communicator->average_and_join({arena.floats() + 1, kCount - 1}, 1);
      found[host.rank()] = rank.download(arena);
    });
    std::vector<float> expected(kCount, static_cast<float>(GetParam() * (GetParam() + 1) / 2));
    for (int r = 0; r < GetParam(); ++r) {
      expected[0] = static_cast<float>(r + 1);
      EXPECT_EQ(found[static_cast<std::size_t>(r)], expected);
    }
  }
}

TEST_P(NcclOnCuda, average_waits_for_the_compute_stream_and_the_compute_stream_for_the_average) {
  constexpr std::size_t kCount = 5000;
  std::vector<std::vector<float>> found(GetParam());
  run_ranks(GetParam(), [&](Communicator& host) {
    Rank rank(host, host.rank());
    const Arena source = rank.upload(std::vector<float>(kCount, static_cast<float>(host.rank() + 1)));
    const Arena arena = rank.backend->allocate(source.bytes(), "values", Communicated::yes);
    const Arena result = rank.backend->allocate(source.bytes(), "result");
    for (int round = 0; round < 3; ++round) {  // enqueued without a wait in between
      rank.backend->copy(arena.data(), source.data(), arena.bytes());
      rank.communicator->join(rank.communicator->average({arena.floats(), kCount}));
      rank.backend->copy(result.data(), arena.data(), arena.bytes());
      rank.backend->zero(arena.data(), arena.bytes());
    }
    found[host.rank()] = rank.download(result);
  });
  const auto expected = static_cast<float>(GetParam() * (GetParam() + 1) / 2);
  for (const auto& values : found) EXPECT_EQ(values, std::vector<float>(kCount, expected));
}

TEST_P(NcclOnCuda, several_averages_under_way_are_joined_in_any_order) {
  constexpr std::size_t kCount = 1000;
  std::vector<std::vector<float>> found(GetParam());
  run_ranks(GetParam(), [&](Communicator& host) {
    Rank rank(host, host.rank());
    const Arena arena = rank.upload(std::vector<float>(3 * kCount, 1));
    std::vector<Pending> pending;
    for (std::size_t part = 0; part < 3; ++part) {
      pending.push_back(rank.communicator->average({arena.floats() + part * kCount, kCount}));
    }
    for (const int part : {2, 0, 1}) rank.communicator->join(pending[static_cast<std::size_t>(part)]);
    EXPECT_THROW(rank.communicator->join(pending[0]), Error);
    found[host.rank()] = rank.download(arena);
  });
  for (const auto& values : found) EXPECT_EQ(values, std::vector<float>(3 * kCount, static_cast<float>(GetParam())));
}

TEST_P(NcclOnCuda, broadcast_gives_everyone_the_roots_bits) {
  const int root = GetParam() - 1;
  std::vector<std::vector<float>> given(GetParam()), found(GetParam());
  run_ranks(GetParam(), [&](Communicator& host) {
    Rank rank(host, host.rank());
    const Arena arena = rank.upload(given[host.rank()] = rank.own_values(777));
    rank.communicator->broadcast({arena.floats(), 777}, root);
    found[host.rank()] = rank.download(arena);
  });
  for (const auto& values : found) EXPECT_EQ(values, given[static_cast<std::size_t>(root)]);
}

TEST_P(NcclOnCuda, cost_counts_collectives_bytes_and_time) {
  run_ranks(GetParam(), [&](Communicator& host) {
    Rank rank(host, host.rank());
    const Arena arena = rank.upload(rank.own_values(1000));
    for (int i = 0; i < 3; ++i) rank.communicator->average_and_join({arena.floats(), 1000}, 1);
    rank.backend->wait();
    const CommunicationCost cost = rank.communicator->cost();
    EXPECT_EQ(cost.collectives, 3);
    EXPECT_EQ(cost.bytes, 12000);
    EXPECT_GE(cost.seconds, cost.exposed_seconds);
    EXPECT_GT(cost.seconds, 0);
  });
}

TEST_P(NcclOnCuda, the_device_says_where_it_waits_in_calls_and_in_recordings) {
  run_ranks(GetParam(), [&](Communicator& host) {
    Rank rank(host, host.rank());
    const Arena arena = rank.upload(std::vector<float>(1000, 1));
    const FloatRange range{arena.floats(), 1000};
    const std::shared_ptr<const DeviceMark> mark = rank.communicator->device_mark();
    EXPECT_EQ(mark->position(), 0U);
    rank.communicator->average_and_join(range, 1);
    rank.backend->wait();
    EXPECT_EQ(mark->position(), 2U) << "whoever has waited for the device knows";
    const auto recording = rank.backend->record(StepKind::full, [&] {  // two collectives, one wait
      rank.communicator->join(rank.communicator->average({range.data, 300}));
      rank.communicator->average_and_join({range.data + 300, 700}, 1);
      rank.backend->scale(range.data, 0.5F, range.count);
    });
    for (std::uint64_t replay = 2; replay <= 5; ++replay) {
      recording->replay();
      rank.backend->wait();
      EXPECT_EQ(mark->position(), 2 * replay);
    }
  });
}

TEST_P(NcclOnCuda, bare_all_reduces_sum_so_often_in_the_order_of_the_compute_stream_and_cost_nothing) {
  constexpr std::size_t kCount = 70001;
  std::vector<std::vector<float>> found(GetParam());
  run_ranks(GetParam(), [&](Communicator& host) {
    Rank rank(host, host.rank(), true);
    const Arena source = rank.upload(std::vector<float>(kCount, static_cast<float>(host.rank() + 1)));
    const Arena arena = rank.backend->allocate(source.bytes(), "values", Communicated::yes);
    const Arena result = rank.backend->allocate(source.bytes(), "result");
    const FloatRange range{arena.floats(), kCount};
    for (int round = 0; round < 3; ++round) {  // enqueued without a wait in between
      rank.backend->copy(arena.data(), source.data(), arena.bytes());
      rank.communicator->bare_all_reduce(range, 2);
      rank.communicator->average_and_join(range, 1);
      rank.communicator->bare_all_reduce(range, 1);
      rank.backend->copy(result.data(), arena.data(), arena.bytes());
      rank.backend->zero(arena.data(), arena.bytes());
    }
    found[host.rank()] = rank.download(result);
    EXPECT_EQ(rank.communicator->cost().collectives, 3);
    EXPECT_EQ(rank.communicator->cost().bytes, 3 * kCount * sizeof(float));
  });
  const int ranks = GetParam(), sum = ranks * (ranks + 1) / 2;
  for (const auto& values : found) {
    EXPECT_EQ(values, std::vector<float>(kCount, static_cast<float>(sum * ranks * ranks * ranks)));
  }
}

class NcclOnFourCudaDevices : public NcclOnCuda {};
INSTANTIATE_TEST_SUITE_P(cuda_devices, NcclOnFourCudaDevices, testing::Values(4));

TEST_P(NcclOnFourCudaDevices, split_averages_among_the_ranks_of_one_colour) {
  std::vector<std::vector<float>> found(4);
  run_ranks(4, [&](Communicator& host) {
    Rank rank(host, host.rank());
    const std::unique_ptr<Communicator> part = rank.communicator->split(host.rank() % 2);
    EXPECT_EQ(part->size(), 2);
    EXPECT_EQ(part->rank(), host.rank() / 2);
    const Arena arena = rank.upload({static_cast<float>(host.rank())});
    part->average_and_join({arena.floats(), 1}, 1);
    found[host.rank()] = rank.download(arena);
  });
  EXPECT_EQ(found, (std::vector<std::vector<float>>{{2}, {4}, {2}, {4}}));
}

TEST_P(NcclOnFourCudaDevices, split_by_host_takes_them_all_here) {
  run_ranks(4, [&](Communicator& host) {
    Rank rank(host, host.rank());
    EXPECT_EQ(rank.communicator->split_by_host()->size(), 4);
  });
}

TEST_P(NcclOnFourCudaDevices, two_ranks_on_one_gpu_are_refused_with_a_table) {
  const auto connect = [] { run_ranks(2, [](Communicator& host) { Rank rank(host, 0); }); };
  try {
    connect();
    FAIL() << "two ranks shared a GPU";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("ranks 0 and 1 have the same GPU"), HasSubstr("rank 1: ")));
  }
}

}  // namespace
}  // namespace convoy::test
