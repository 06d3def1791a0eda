// Each rank sums its part of the range, through all arenas, between two meetings: one when all have written what is to
// be summed, one when all sums are written.
#include "mpi/shared_arena.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <functional>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <utility>

#include "convoy/error.hpp"
#include "io/host_info.hpp"
#include "io/huge_pages.hpp"
#include "mpi/patience.hpp"

namespace convoy {
namespace {

constexpr std::size_t kBlock = 1024;  // floats summed at a time, so that the sum stays in the first cache
constexpr std::size_t kLine = 16;     // floats of a cache line, which two ranks should not write at once

std::size_t begin_of_part(std::size_t part, std::size_t parts, std::size_t count) {
  return part == parts ? count : count * part / parts / kLine * kLine;
}

void add(const float* a, const float* b, std::size_t count, float* to) {
#pragma omp simd
  for (std::size_t i = 0; i < count; ++i) to[i] = a[i] + b[i];
}

// Where the factor is 1 too: a copy by `rep movs` takes several times as long with lines that another core has.
void scale(const float* from, float factor, std::size_t count, float* to) {
#pragma omp simd
  for (std::size_t i = 0; i < count; ++i) to[i] = factor * from[i];
}

std::uint64_t draw_token() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

// What a rank tells the others; empty where it has nothing to share.
struct Offer {
  std::uint64_t process_space = 0;
  pid_t process = 0;
  int file = -1;
  std::uint64_t token = 0;
  std::size_t bytes = 0;

  std::string text() const { return fmt::format("{} {} {} {} {}", process_space, process, file, token, bytes); }
  static Offer from(const std::string& text) {
    Offer offer;
    std::istringstream(text) >> offer.process_space >> offer.process >> offer.file >> offer.token >> offer.bytes;
    return offer;
  }
};

}  // namespace

// By its token a rank knows that what it has mapped is what another offered: copies of one virtual machine, which have
// one process space by their own account, may have a file of that number in a process of that number each.
struct SharedArena::Meeting {
  std::uint64_t token;
  alignas(64) std::uint32_t here;
  alignas(64) std::uint32_t round;
};

std::unique_ptr<SharedArena> SharedArena::make(const Arena& arena, Communicator& group, bool is_wanted) {
  static_assert(std::atomic_ref<std::uint32_t>::is_always_lock_free, "others would not work between processes");
  const std::size_t pages = whole_pages(arena.bytes(), page_size()), bytes = pages + sizeof(Meeting);
  const auto meeting = [&](const SharedMemory& memory) { return reinterpret_cast<Meeting*>(memory.data() + pages); };
  std::optional<SharedMemory> own = is_wanted ? SharedMemory::create(bytes) : std::nullopt;
  Offer offer{.process_space = process_space_id(), .process = ::getpid(), .token = draw_token(), .bytes = bytes};
  if (own) {
    offer.file = own->file();
    meeting(*own)->token = offer.token;
  }
  const std::vector<std::string> offers = group.gather(own ? offer.text() : "");
  if (std::ranges::count(offers, "") > 0) return nullptr;

  const auto own_rank = static_cast<std::size_t>(group.rank());
  std::vector<SharedMemory> ranks;
  bool are_all_mapped = true;
  for (const std::string& text : offers) {
    const Offer other = Offer::from(text);
    CONVOY_CHECK(other.bytes == bytes, "an arena of {} bytes is attached beside one of {}", bytes, other.bytes);
    if (ranks.size() == own_rank) {
      ranks.push_back(std::move(*own));
      continue;
    }
    std::optional<SharedMemory> memory = other.process_space == offer.process_space
                                             ? SharedMemory::of_process(other.process, other.file, bytes)
                                             : std::nullopt;
    are_all_mapped = memory && meeting(*memory)->token == other.token;
    if (!are_all_mapped) break;
    ranks.push_back(std::move(*memory));
  }
  if (group.min_max(are_all_mapped ? 1 : 0).least == 0) return nullptr;
  SharedMemory& memory = ranks[own_rank];
  std::memcpy(memory.data(), arena.data(), arena.bytes());
  memory.replace(arena.data(), pages);
  memory.forget_file();
  return std::unique_ptr<SharedArena>(new SharedArena(arena, group.rank(), std::move(ranks)));
}

SharedArena::SharedArena(const Arena& arena, int rank, std::vector<SharedMemory> ranks)
    : data_(arena.floats()),
      bytes_(whole_pages(arena.bytes(), page_size())),
      rank_(static_cast<std::size_t>(rank)),
      ranks_(std::move(ranks)) {}

SharedArena::~SharedArena() { ranks_[rank_].make_private(data_, bytes_); }

bool SharedArena::holds(const FloatRange& range) const {
  const float* end = data_ + bytes_ / sizeof(float);
  return std::greater_equal<>()(range.data, data_) && std::less_equal<>()(range.data + range.count, end);
}

float* SharedArena::of_rank(std::size_t rank, std::size_t offset) const {
  return reinterpret_cast<float*>(ranks_[rank].data()) + offset;
}

void SharedArena::sum(const FloatRange& range, float factor) {
  CONVOY_CHECK(holds(range), "a sum outside of the shared arena");
  const auto offset = static_cast<std::size_t>(range.data - data_);
  meet();
  const std::size_t end = offset + begin_of_part(rank_ + 1, ranks_.size(), range.count);
  for (std::size_t at = offset + begin_of_part(rank_, ranks_.size(), range.count); at < end; at += kBlock) {
    const std::size_t count = std::min(kBlock, end - at);
    std::array<float, kBlock> block;
    const float* sum = of_rank(0, at);
    for (std::size_t rank = 1; rank < ranks_.size(); ++rank) {
      add(sum, of_rank(rank, at), count, block.data());
      sum = block.data();
    }
    for (std::size_t rank = 0; rank < ranks_.size(); ++rank) scale(sum, factor, count, of_rank(rank, at));
  }
  meet();
}

// Whoever comes last opens the next round.
void SharedArena::meet() {
  Meeting& meeting = *reinterpret_cast<Meeting*>(ranks_.front().data() + bytes_);
  const std::atomic_ref here(meeting.here), round(meeting.round);
  const std::uint32_t now = round.load(std::memory_order_acquire);
  if (here.fetch_add(1, std::memory_order_acq_rel) + 1 == ranks_.size()) {
    here.store(0, std::memory_order_relaxed);
    round.store(now + 1, std::memory_order_release);
    return;
  }
  for (Patience patience; round.load(std::memory_order_acquire) == now;) patience.rest();
}

}  // namespace convoy
