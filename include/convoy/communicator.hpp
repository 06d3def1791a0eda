// The second seam: what the ranks of a run say to each other. A rank is a worker: one device, one thread.
// Collectives over arenas are enqueued and run in place; sums of host values wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convoy/backend.hpp"
#include "convoy/device_mark.hpp"

namespace convoy {

// fp32 elements of an arena.
struct FloatRange {
  float* data = nullptr;
  std::size_t count = 0;
};

// A collective under way; what it changes may be read after join.
struct Pending {
  std::uint64_t number = 0;  // collectives are numbered alike on all ranks
};

// How much of a run's communication an attached arena has in one communicator.
enum class Use : std::uint8_t { most, some };

// Memory that a communicator knows beforehand, as long as this lives: it ends before the memory and the communicator.
// Null where there was nothing to do.
using Attachment = std::shared_ptr<void>;

struct MinMax {
  std::uint64_t least = 0, most = 0;
};

// What the collectives of this rank have cost so far.
struct CommunicationCost {
  std::int64_t collectives = 0;  // over arenas; small host sums are not counted
  std::int64_t bytes = 0;        // of those arenas
  double seconds = 0;            // from the start of each to its completion
  double exposed_seconds = 0;    // of these, how long the rank waited in join
};

class Communicator {
 public:
  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  virtual std::string_view kind() const = 0;  // "self", "mpi", "nccl"
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // For speed alone: an arena that many collectives will be over. All ranks, arenas of one size, in one order. Of two
  // communicators, the one that will be used more comes first.
  virtual Attachment attach(const Arena& arena, Use use) = 0;
  // Everyone gets root's values.
  virtual void broadcast(FloatRange range, int root) = 0;
  // In place, the sum over the ranks: the division by size() belongs to the kernel that refreshes the compute copies.
  // Starts when everything enqueued on the compute stream so far is done. Every rank, the same ranges, in the same
  // order. Called while a step is recorded, this and join are part of the recording, in which each start has its join.
  virtual Pending average(FloatRange range) = 0;
  // The compute stream goes on after the collective.
  virtual void join(Pending pending) = 0;

  // Whether collectives may be part of a recorded step.
  virtual bool can_be_recorded() const { return true; }

  // Both at once: where there is nothing to compute meanwhile, some libraries have a faster way. For `factor` times the
  // sum, what is there is still to be multiplied by what this returns: by 1 where that was done on the way.
  virtual float average_and_join(FloatRange range, float factor) {
    join(average(range));
    return factor;
  }
  // Whether that way is so much faster that starting early gains nothing. The same on all ranks.
  virtual bool is_faster_joined(FloatRange) const { return false; }

  // The library's own all-reduce in place, so many times in a row, with nothing of this class around them and outside
  // its cost(): what a bench sets beside an average. Ordered with the compute stream as average_and_join is.
  virtual void bare_all_reduce(FloatRange range, int times) = 0;

  // Over host values; in place; all ranks call it. Integer sums are exact.
  virtual void sum(std::span<std::int64_t> values) = 0;
  virtual void sum(std::span<double> values) = 0;
  // The same without waiting, until get(). Every rank, in the same order. A sum that nobody reads does no harm.
  virtual std::future<std::vector<std::int64_t>> start_sum(std::vector<std::int64_t> values) = 0;
  virtual MinMax min_max(std::uint64_t value) = 0;  // equal where all ranks agree
  // Every rank's text, in the order of ranks.
  virtual std::vector<std::string> gather(const std::string& text) = 0;

  virtual CommunicationCost cost() const = 0;

  // Null where it is the host that waits in collectives. Splits share it.
  virtual std::shared_ptr<const DeviceMark> device_mark() const { return nullptr; }

  // Ranks of one colour, ordered by rank.
  virtual std::unique_ptr<Communicator> split(int colour) = 0;
  // Ranks that share this one's host.
  virtual std::unique_ptr<Communicator> split_by_host() = 0;

  // Ends every other rank of the job at once; returns where there is no other. Safe after a failure.
  virtual void abort(int exit_code) noexcept = 0;
};

// The baseline: one rank, nothing to say.
std::unique_ptr<Communicator> make_self_communicator();

}  // namespace convoy
