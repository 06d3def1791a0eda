// Two rounds of sends and receives around one kernel.
#include "nccl/ordered_sum.hpp"

#include <algorithm>

#include "kernels/ordered_sum.hpp"
#include "nccl/nccl_call.hpp"

namespace convoy::cuda {
namespace {

constexpr std::size_t kAlignment = 4;  // elements: parts begin where 16 bytes can be read at once

}  // namespace

std::size_t OrderedSum::part_begin(std::size_t count, int rank) const {
  const auto ranks = static_cast<std::size_t>(ranks_);
  const std::size_t part = (count + ranks * kAlignment - 1) / (ranks * kAlignment) * kAlignment;
  return std::min(count, part * static_cast<std::size_t>(rank));
}

template <typename Send, typename Receive>
void OrderedSum::exchange(ncclComm_t group, cudaStream_t stream, std::chrono::duration<double> limit, const Send& send,
                          const Receive& receive) const {
  CHECK_NCCL(ncclGroupStart());
  for (int peer = 0; peer < ranks_; ++peer) {
    if (peer == rank_) continue;
    if (const FloatRange out = send(peer); out.count > 0) {
      CHECK_NCCL(ncclSend(out.data, out.count, ncclFloat32, peer, group, stream));
    }
    if (const FloatRange in = receive(peer); in.count > 0) {
      CHECK_NCCL(ncclRecv(in.data, in.count, ncclFloat32, peer, group, stream));
    }
  }
  check(ncclGroupEnd(), "ncclGroupEnd", __FILE__, __LINE__);
  await(group, limit, "an average in the order of ranks");
}

void OrderedSum::reserve(std::size_t count) {
  const std::size_t part = part_begin(count, 1);  // the longest
  if (ranks_ == 1 || part <= part_capacity_) return;
  parts_.push_back(allocate_memory(static_cast<std::size_t>(ranks_ - 1) * part * sizeof(float)));
  part_capacity_ = part;
}

void OrderedSum::enqueue(FloatRange range, ncclComm_t group, cudaStream_t stream, std::chrono::duration<double> limit) {
  if (ranks_ == 1 || range.count == 0) return;
  reserve(range.count);
  const auto part_of = [&](int rank) {
    const std::size_t begin = part_begin(range.count, rank);
    return FloatRange{range.data + begin, part_begin(range.count, rank + 1) - begin};
  };
  const FloatRange own = part_of(rank_);
  auto* parts = static_cast<float*>(parts_.back().get());
  const auto received = [&](int peer) {
    return FloatRange{parts + static_cast<std::size_t>(peer < rank_ ? peer : peer - 1) * part_capacity_, own.count};
  };
  exchange(group, stream, limit, part_of, received);
  sum_in_order(own.data, parts, part_capacity_, rank_, ranks_, own.count, stream);
  exchange(
      group, stream, limit, [&](int) { return own; }, part_of);
}

}  // namespace convoy::cuda
