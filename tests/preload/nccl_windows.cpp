// Symmetric windows of NCCL for ranks that are threads of one process, before a library that has none, or that needs
// a machine with NVLink: as NVIDIA documents ncclCommWindowRegister for a communicator that does not block. Everything
// else goes on to the library. What breaks the contract ends the program; what keeps to it is a line in the file
// CONVOY_TEST_WINDOWS. CONVOY_TEST_REFUSE_WINDOWS: `all` ranks get an error at once, or `late`; or the rank of this
// number gets no window and no error.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "real.hpp"

namespace {

// nccl.h's, which a build without CUDA does not have.
using Result = int;
using Communicator = void*;
constexpr Result kSuccess = 0, kInvalidUsage = 5, kInProgress = 7;
constexpr int kSymmetric = 1;                // NCCL_WIN_COLL_SYMMETRIC
constexpr std::uintptr_t kAlignment = 4096;  // NCCL_WIN_REQUIRED_ALIGNMENT
struct UniqueId {
  char internal[128];
};

struct Memory {
  std::uintptr_t begin = 0, end = 0;
  bool holds(std::uintptr_t from, std::uintptr_t to) const { return begin <= from && to <= end; }
  bool meets(const Memory& other) const { return begin < other.end && other.begin < end; }
};

Memory memory_of(const void* data, std::size_t bytes) {
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  return {begin, begin + bytes};
}

// What a rank said when it came to a registration; all ranks of a communicator say the same.
struct Terms {
  std::size_t bytes = 0, offset = 0;  // offset: within what ncclMemAlloc gave
  bool operator==(const Terms&) const = default;
};

struct Group {
  int splits_of[64] = {};                           // by rank
  std::vector<std::map<int, Terms>> registrations;  // in their order, by rank
};

// A call that is not over when it returns.
struct Pending {
  std::size_t number = 0;  // of Group::registrations
  void** window = nullptr;
  Memory memory;
  void* leaving = nullptr;  // or a window that is deregistered
  bool was_polled = false;
};

struct Rank {
  std::string group;
  std::size_t registered = 0;  // so many so far
  bool is_pending = false;
  Pending pending;
  std::map<void*, Memory> windows;
};

struct State {
  std::mutex mutex;
  std::map<std::uintptr_t, Memory> allocations;
  std::map<Communicator, Rank> ranks;
  std::map<std::string, Group> groups;
  std::uintptr_t next_window = 0x1000;
};

State& state() {
  static State* all = new State;  // outlives whoever unwinds last
  return *all;
}

#define LIBRARY(function) real<decltype(function)>(kNccl, #function)

void tell(const char* what, int rank, std::size_t bytes) {
  const char* path = std::getenv("CONVOY_TEST_WINDOWS");
  std::FILE* file = path != nullptr ? std::fopen(path, "a") : nullptr;
  if (file == nullptr) return;
  std::fprintf(file, "%s %d %zu\n", what, rank, bytes);
  std::fclose(file);
}

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "window contract: %s\n", what);
  std::abort();
}

std::string refusal() {
  const char* wish = std::getenv("CONVOY_TEST_REFUSE_WINDOWS");
  return wish != nullptr ? wish : "";
}

}  // namespace

extern "C" {

Result ncclCommCount(Communicator, int*);
Result ncclCommUserRank(Communicator, int*);

}  // extern "C"

namespace {

int size_of(Communicator communicator) {
  int count = 0;
  LIBRARY(ncclCommCount)(communicator, &count);
  return count;
}

int rank_of(Communicator communicator) {
  int rank = 0;
  LIBRARY(ncclCommUserRank)(communicator, &rank);
  return rank;
}

// It has come to an end on this rank, with the windows still there.
void require_no_windows(Communicator communicator) {
  const std::lock_guard lock(state().mutex);
  const auto found = state().ranks.find(communicator);
  if (found == state().ranks.end()) return;
  require(found->second.windows.empty(), "a communicator ends before its windows");
}

}  // namespace

extern "C" {

Result ncclMemAlloc(void** data, std::size_t bytes) {
  const Result result = LIBRARY(ncclMemAlloc)(data, bytes);
  if (result != kSuccess) return result;
  const std::lock_guard lock(state().mutex);
  const Memory memory = memory_of(*data, bytes);
  state().allocations[memory.begin] = memory;
  return result;
}

Result ncclMemFree(void* data) {
  {
    const std::lock_guard lock(state().mutex);
    const auto found = state().allocations.find(reinterpret_cast<std::uintptr_t>(data));
    if (found != state().allocations.end()) {
      for (const auto& [communicator, rank] : state().ranks) {
        for (const auto& [window, memory] : rank.windows) {
          require(!memory.meets(found->second), "memory ends before its window");
        }
      }
      state().allocations.erase(found);
    }
  }
  return LIBRARY(ncclMemFree)(data);
}

Result ncclCommInitRankConfig(Communicator* communicator, int count, UniqueId id, int rank, void* config) {
  const Result result = LIBRARY(ncclCommInitRankConfig)(communicator, count, id, rank, config);
  const std::lock_guard lock(state().mutex);
  state().ranks[*communicator].group = std::string(id.internal, sizeof id.internal);
  return result;
}

Result ncclCommSplit(Communicator parent, int colour, int key, Communicator* child, void* config) {
  const int rank = rank_of(parent);
  const Result result = LIBRARY(ncclCommSplit)(parent, colour, key, child, config);
  const std::lock_guard lock(state().mutex);
  const std::string& group = state().ranks[parent].group;
  const int split = state().groups[group].splits_of[rank]++;
  state().ranks[*child].group = group + "/" + std::to_string(split) + "/" + std::to_string(colour);
  return result;
}

Result ncclCommFinalize(Communicator communicator) {
  require_no_windows(communicator);
  return LIBRARY(ncclCommFinalize)(communicator);
}

Result ncclCommDestroy(Communicator communicator) {
  require_no_windows(communicator);
  {
    const std::lock_guard lock(state().mutex);
    state().ranks.erase(communicator);
  }
  return LIBRARY(ncclCommDestroy)(communicator);
}

// The window is there when all ranks have come and this one has asked again.
Result ncclCommGetAsyncError(Communicator communicator, Result* progress) {
  const Result result = LIBRARY(ncclCommGetAsyncError)(communicator, progress);
  if (result != kSuccess || *progress != kSuccess) return result;
  const std::lock_guard lock(state().mutex);
  Rank& rank = state().ranks[communicator];
  if (!rank.is_pending) return result;
  Pending& pending = rank.pending;
  const int number = rank_of(communicator);
  if (pending.leaving != nullptr) {
    if (!std::exchange(pending.was_polled, true)) {
      *progress = kInProgress;
      return result;
    }
    rank.is_pending = false;
    const auto found = rank.windows.find(pending.leaving);
    tell("deregister", number, found->second.end - found->second.begin);
    rank.windows.erase(found);
    return result;
  }
  const std::map<int, Terms>& terms = state().groups[rank.group].registrations[pending.number];
  const bool all_have_come = static_cast<int>(terms.size()) == size_of(communicator);
  if (!std::exchange(pending.was_polled, true) || !all_have_come) {
    *progress = kInProgress;
    return result;
  }
  if (refusal() == "late") {
    *progress = kInvalidUsage;
    return result;
  }
  for (const auto& [other, said] : terms) {
    require(said == terms.begin()->second, "ranks register windows of different sizes or at different offsets");
  }
  rank.is_pending = false;
  if (refusal() == std::to_string(number)) return result;
  *pending.window = reinterpret_cast<void*>(state().next_window += 0x10);
  rank.windows[*pending.window] = pending.memory;
  tell("register", number, pending.memory.end - pending.memory.begin);
  return result;
}

Result ncclCommWindowRegister(Communicator communicator, void* data, std::size_t bytes, void** window, int flags) {
  if (refusal() == "all") return kInvalidUsage;
  const int number = rank_of(communicator);
  const std::lock_guard lock(state().mutex);
  Rank& rank = state().ranks[communicator];
  const Memory memory = memory_of(data, bytes);
  require(!rank.is_pending, "a window is registered while another one is under way");
  require(flags == kSymmetric, "a window is not symmetric");
  for (const auto& [other, live] : rank.windows) require(!live.meets(memory), "memory is in two windows");
  Terms terms{.bytes = bytes, .offset = kAlignment};
  for (const auto& [begin, allocation] : state().allocations) {
    if (allocation.holds(memory.begin, memory.end)) terms.offset = memory.begin - begin;
  }
  require(bytes > 0 && terms.offset != kAlignment, "a window's memory is not ncclMemAlloc's");
  require(terms.offset % kAlignment == 0, "a window's memory is not aligned");
  std::vector<std::map<int, Terms>>& registrations = state().groups[rank.group].registrations;
  if (registrations.size() == rank.registered) registrations.emplace_back();
  registrations[rank.registered][number] = terms;
  rank.pending = {.number = rank.registered++, .window = window, .memory = memory};
  rank.is_pending = true;
  *window = nullptr;
  return kInProgress;
}

Result ncclCommRegister(Communicator communicator, void* data, std::size_t bytes, void** handle) {
  const Result result = LIBRARY(ncclCommRegister)(communicator, data, bytes, handle);
  tell("plain", rank_of(communicator), bytes);
  return result;
}

Result ncclCommWindowDeregister(Communicator communicator, void* window) {
  const std::lock_guard lock(state().mutex);
  Rank& rank = state().ranks[communicator];
  require(!rank.is_pending, "a window is deregistered while another call is under way");
  require(rank.windows.count(window) == 1, "a window that there is not, or no longer, is deregistered");
  rank.pending = {.leaving = window};
  rank.is_pending = true;
  return kInProgress;
}

Result ncclAllReduce(const void* from, void* to, std::size_t count, int type, int operation, Communicator communicator,
                     void* stream) {
  const std::size_t bytes = count * sizeof(float);
  const int number = rank_of(communicator);
  {
    const std::lock_guard lock(state().mutex);
    const Memory memory = memory_of(to, bytes);
    for (const auto& [window, live] : state().ranks[communicator].windows) {
      if (from == to && live.holds(memory.begin, memory.end)) tell("all-reduce", number, bytes);
    }
  }
  return LIBRARY(ncclAllReduce)(from, to, count, type, operation, communicator, stream);
}

}  // extern "C"
