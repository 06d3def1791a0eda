// See nccl_communicator.hpp.
#include "nccl/nccl_communicator.hpp"

#include <fmt/format.h>
#include <nccl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "convoy/error.hpp"
#include "event.hpp"
#include "handles.hpp"
#include "io/host_info.hpp"
#include "nccl/nccl_call.hpp"
#include "nccl/ordered_sum.hpp"
#include "nccl/registration.hpp"
#include "ranges.hpp"

namespace convoy::cuda {
namespace {

// A unique id as text, since that is what workers can send each other.
std::string text_of(const ncclUniqueId& id) {
  std::string text;
  for (const char byte : id.internal) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

ncclUniqueId id_of(const std::string& text) {
  ncclUniqueId id{};
  CONVOY_CHECK(text.size() == 2 * sizeof id.internal, "NCCL: an id of {} letters arrived, {} expected", text.size(),
               2 * sizeof id.internal);
  for (std::size_t i = 0; i < sizeof id.internal; ++i) {
    id.internal[i] = static_cast<char>(std::stoi(text.substr(2 * i, 2), nullptr, 16));
  }
  return id;
}

std::string process_name() { return fmt::format("{} {}", host_name(), getpid()); }

bool has_equals(std::vector<std::string> texts) {
  std::ranges::sort(texts);
  return std::ranges::adjacent_find(texts) != texts.end();
}

// Before NCCL does, which names no rank.
void check_distinct_devices(Communicator& host, int device) {
  char bus[32] = {};
  CHECK_CUDA(cudaDeviceGetPCIBusId(bus, sizeof bus, device));
  const std::vector<std::string> all = host.gather(fmt::format("{}, GPU {}", host_name(), bus));
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    const auto first = static_cast<std::size_t>(std::find(all.begin(), all.end(), all[rank]) - all.begin());
    if (first == rank) continue;
    std::string table;
    for (std::size_t r = 0; r < all.size(); ++r) table += fmt::format("{}rank {}: {}", r == 0 ? "" : "; ", r, all[r]);
    fail("ranks {} and {} have the same GPU ({}): ask for a GPU a rank, or start fewer ranks, or use --virtual-ranks",
         first, rank, table);
  }
}

// One collective's marks in time: it begins on the communication stream, ends there, and is waited for by the compute
// stream, which arrives at the wait at `arrived`.
struct Marks {
  Event begun, ended, arrived;
};

Marks make_marks() { return {make_event(), make_event(), make_event()}; }

struct Times {
  double whole = 0, exposed = 0;  // seconds
};

// Milliseconds between two marks; nothing where one of them has not been passed yet. Never waits.
std::optional<float> milliseconds(const Event& from, const Event& to) {
  float between = 0;
  for (const cudaError_t status :
       {cudaEventQuery(from.get()), cudaEventQuery(to.get()), cudaEventElapsedTime(&between, from.get(), to.get())}) {
    if (status == cudaErrorNotReady) return std::nullopt;
    CHECK_CUDA(status);
  }
  return between;
}

std::optional<Times> times_of(const Marks& marks) {
  const std::optional<float> whole = milliseconds(marks.begun, marks.ended);
  const std::optional<float> exposed = milliseconds(marks.arrived, marks.ended);
  if (!whole || !exposed || *whole <= 0) return std::nullopt;  // the last: its marks are of two replays
  return Times{1e-3 * static_cast<double>(*whole), 1e-3 * static_cast<double>(std::clamp(*exposed, 0.0F, *whole))};
}

// A collective within a recorded step. Its marks are passed anew by every replay.
struct Recorded {
  std::size_t bytes = 0;
  Event done;  // orders the compute stream's nodes after it
  Marks marks;
  bool was_replayed = false;
};

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(Communicator& host, cudaStream_t compute, const Capture& capture, CollectiveMark& mark,
                   const NcclOptions& options)
      : host_(host),
        compute_(compute),
        capture_(capture),
        mark_(mark),
        limit_(options.limit),
        graphs_share_process_(options.graphs_share_process) {
    if (options.in_order) ordered_.emplace(host_.rank(), host_.size());
    shares_process_ = has_equals(host_.gather(process_name()));
    ncclUniqueId id{};
    if (host_.rank() == 0) CHECK_NCCL(ncclGetUniqueId(&id));
    id = id_of(host_.gather(host_.rank() == 0 ? text_of(id) : "").front());
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    CHECK_NCCL(ncclCommInitRankConfig(&group_, host_.size(), id, host_.rank(), &config));
    make_streams();
    await(group_, limit_, "meeting the other ranks");
  }

  // `parent`'s ranks of one colour; `host` is already split so.
  NcclCommunicator(NcclCommunicator& parent, std::unique_ptr<Communicator> host, int colour)
      : owned_host_(std::move(host)),
        host_(*owned_host_),
        compute_(parent.compute_),
        capture_(parent.capture_),
        mark_(parent.mark_),
        limit_(parent.limit_),
        graphs_share_process_(parent.graphs_share_process_),
        shares_process_(parent.shares_process_) {
    if (parent.ordered_) ordered_.emplace(host_.rank(), host_.size());
    CHECK_NCCL(ncclCommSplit(parent.group_, colour, parent.rank(), &group_, nullptr));
    await(parent.group_, limit_, "dividing the ranks");
    make_streams();
    await(group_, limit_, "meeting the other ranks");
  }

  ~NcclCommunicator() override {
    if (group_ == nullptr) return;
    cudaStreamSynchronize(stream_.get());
    if (ncclCommFinalize(group_) == ncclInProgress) {
      ncclResult_t state = ncclInProgress;
      const auto begun = std::chrono::steady_clock::now();
      while (state == ncclInProgress && std::chrono::steady_clock::now() - begun < limit_) {
        if (ncclCommGetAsyncError(group_, &state) != ncclSuccess) break;
      }
    }
    ncclCommDestroy(group_);
  }

  std::string_view kind() const override { return "nccl"; }
  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }

  Attachment attach(const Arena& arena, Use use) override {
    if (ordered_) ordered_->reserve(arena.bytes() / sizeof(float));
    return register_memory(group_, host_, arena, use, limit_);
  }

  void broadcast(FloatRange range, int root) override {
    after_compute();
    CHECK_NCCL(ncclBroadcast(range.data, range.data, range.count, ncclFloat32, root, group_, stream_.get()));
    await(group_, limit_, "a broadcast");
    meet_those_of_the_process();
    before_compute();
  }

  // Where a process launches the graphs of several devices, one may wait for a collective that the next one, held up
  // behind it, has not launched yet.
  bool can_be_recorded() const override { return !shares_process_ || graphs_share_process_; }

  Pending average(FloatRange range) override {
    if (capture_.before_replay != nullptr) return record_average(range);
    await(group_, limit_, "the collectives before");  // an error of theirs is told here
    ++cost_.collectives;
    cost_.bytes += static_cast<std::int64_t>(range.count * sizeof(float));
    Marks marks = take_marks();
    after_compute();
    CHECK_CUDA(cudaEventRecord(marks.begun.get(), stream_.get()));
    all_reduce(range);
    CHECK_CUDA(cudaEventRecord(marks.ended.get(), stream_.get()));
    meet_those_of_the_process();
    const auto number = static_cast<std::uint64_t>(cost_.collectives);
    pending_.emplace(number, std::move(marks));
    return {number};
  }

  void join(Pending pending) override {
    mark_.arrive();
    if (capture_.before_replay != nullptr) return record_join(pending);
    const auto found = pending_.find(pending.number);
    CONVOY_CHECK(found != pending_.end(), "collective #{} was joined before, or never started", pending.number);
    Marks marks = std::move(found->second);
    pending_.erase(found);
    CHECK_CUDA(cudaEventRecord(marks.arrived.get(), compute_));
    CHECK_CUDA(cudaStreamWaitEvent(compute_, marks.ended.get(), 0));
    joined_.push_back(std::move(marks));
  }

  // The mark comes before the collective: one that does not end might keep a mark beside it from being written.
  float average_and_join(FloatRange range, float factor) override {
    mark_.arrive();
    join(average(range));
    return factor;
  }

  void bare_all_reduce(FloatRange range, int times) override {
    for (int i = 0; i < times; ++i) all_reduce_on(compute_, range);
  }

  void sum(std::span<std::int64_t> values) override { host_.sum(values); }
  void sum(std::span<double> values) override { host_.sum(values); }
  std::future<std::vector<std::int64_t>> start_sum(std::vector<std::int64_t> values) override {
    return host_.start_sum(std::move(values));
  }
  MinMax min_max(std::uint64_t value) override { return host_.min_max(value); }
  std::vector<std::string> gather(const std::string& text) override { return host_.gather(text); }

  std::shared_ptr<const DeviceMark> device_mark() const override { return mark_.mark(); }

  CommunicationCost cost() const override {
    count_finished();
    CommunicationCost cost = cost_;
    // Of recorded collectives those are timed that were over when their recording was replayed again.
    if (timed_replays_ > 0) {
      const double per_timed = static_cast<double>(replays_) / static_cast<double>(timed_replays_);
      cost.seconds += recorded_times_.whole * per_timed;
      cost.exposed_seconds += recorded_times_.exposed * per_timed;
    }
    return cost;
  }

  std::unique_ptr<Communicator> split(int colour) override {
    return std::make_unique<NcclCommunicator>(*this, host_.split(colour), colour);
  }
  std::unique_ptr<Communicator> split_by_host() override {
    std::unique_ptr<Communicator> host = host_.split_by_host();
    // A colour for each host: the world's rank of its first worker.
    const auto colour = static_cast<int>(host->min_max(static_cast<std::uint64_t>(rank())).least);
    return std::make_unique<NcclCommunicator>(*this, std::move(host), colour);
  }

  void abort(int exit_code) noexcept override {
    if (group_ != nullptr) ncclCommAbort(std::exchange(group_, nullptr));
    host_.abort(exit_code);
  }

 private:
  void make_streams() {
    // Above the compute stream's priority: a collective that waits for free multiprocessors holds up every rank.
    int least = 0, greatest = 0;
    CHECK_CUDA(cudaDeviceGetStreamPriorityRange(&least, &greatest));
    cudaStream_t stream = nullptr;
    CHECK_CUDA(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, greatest));
    stream_.reset(stream);
    name_stream(stream, "collectives");
    fence_ = make_event(cudaEventDisableTiming);
  }

  // What follows on the communication stream comes after everything enqueued on the compute stream, and back.
  void after_compute() {
    CHECK_CUDA(cudaEventRecord(fence_.get(), compute_));
    CHECK_CUDA(cudaStreamWaitEvent(stream_.get(), fence_.get(), 0));
  }
  void before_compute() {
    CHECK_CUDA(cudaEventRecord(fence_.get(), stream_.get()));
    CHECK_CUDA(cudaStreamWaitEvent(compute_, fence_.get(), 0));
  }

  // A call that waits for its device while it holds a lock of the driver may keep another thread of the process from
  // launching its part of a collective, which the device waits for: nobody goes on before all parts are launched.
  void meet_those_of_the_process() {
    if (shares_process_) host_.min_max(0);
  }

  void all_reduce(FloatRange range) {
    if (ordered_) return ordered_->enqueue(range, group_, stream_.get(), limit_);
    all_reduce_on(stream_.get(), range);
  }
  void all_reduce_on(cudaStream_t stream, FloatRange range) {
    CHECK_NCCL(ncclAllReduce(range.data, range.data, range.count, ncclFloat32, ncclSum, group_, stream));
    await(group_, limit_, "an all-reduce");
  }

  Pending record_average(FloatRange range) {
    Recorded& recorded = *recorded_.emplace_back(
        std::make_unique<Recorded>(range.count * sizeof(float), make_event(cudaEventDisableTiming), make_marks()));
    after_compute();
    CHECK_CUDA(cudaEventRecordWithFlags(recorded.marks.begun.get(), stream_.get(), cudaEventRecordExternal));
    all_reduce(range);
    CHECK_CUDA(cudaEventRecordWithFlags(recorded.marks.ended.get(), stream_.get(), cudaEventRecordExternal));
    CHECK_CUDA(cudaEventRecord(recorded.done.get(), stream_.get()));
    return {recorded_.size() - 1};
  }

  void record_join(Pending pending) {
    CONVOY_CHECK(pending.number < recorded_.size(), "collective #{} was not recorded in this step", pending.number);
    Recorded& recorded = *recorded_[pending.number];
    CHECK_CUDA(cudaEventRecordWithFlags(recorded.marks.arrived.get(), compute_, cudaEventRecordExternal));
    CHECK_CUDA(cudaStreamWaitEvent(compute_, recorded.done.get(), 0));
    capture_.before_replay->push_back([this, &recorded] { count_replay(recorded); });
  }

  void count_replay(Recorded& recorded) {
    await(group_, limit_, "the collectives before");
    ++cost_.collectives;
    cost_.bytes += static_cast<std::int64_t>(recorded.bytes);
    ++replays_;
    const std::optional<Times> last = recorded.was_replayed ? times_of(recorded.marks) : std::nullopt;
    recorded.was_replayed = true;
    if (!last) return;
    ++timed_replays_;
    recorded_times_.whole += last->whole;
    recorded_times_.exposed += last->exposed;
  }

  Marks take_marks() {
    count_finished();
    if (free_.empty()) return make_marks();
    Marks marks = std::move(free_.back());
    free_.pop_back();
    return marks;
  }

  // Adds the times of the collectives that are over; never waits.
  void count_finished() const {
    while (!joined_.empty()) {
      const std::optional<Times> times = times_of(joined_.front());
      if (!times) return;
      cost_.seconds += times->whole;
      cost_.exposed_seconds += times->exposed;
      free_.push_back(std::move(joined_.front()));
      joined_.erase(joined_.begin());
    }
  }

  std::unique_ptr<Communicator> owned_host_;
  Communicator& host_;
  cudaStream_t compute_;
  const Capture& capture_;
  CollectiveMark& mark_;
  std::chrono::duration<double> limit_;
  bool graphs_share_process_ = false;
  bool shares_process_ = false;  // with another worker
  ncclComm_t group_ = nullptr;
  Stream stream_;
  Event fence_;
  std::optional<OrderedSum> ordered_;         // where sums are to be in the order of ranks
  std::map<std::uint64_t, Marks> pending_;    // by the collective's number
  mutable std::vector<Marks> joined_, free_;  // joined: in the order of their joins
  mutable CommunicationCost cost_;
  std::vector<std::unique_ptr<Recorded>> recorded_;  // by number
  std::int64_t replays_ = 0, timed_replays_ = 0;     // of recorded collectives
  Times recorded_times_;                             // of the timed ones
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, int device, cudaStream_t compute,
                                                     const Capture& capture, CollectiveMark& mark,
                                                     const NcclOptions& options) {
  check_distinct_devices(host, device);
  return std::make_unique<NcclCommunicator>(host, compute, capture, mark, options);
}

}  // namespace convoy::cuda
