// The CUDA backend: owns memory, stream and handles, gives each call to its file.
#include "backend.hpp"

#include <cuda_profiler_api.h>
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "check.hpp"
#include "collective_mark.hpp"
#include "context.hpp"
#include "convoy/error.hpp"
#include "cudnn/plan_chooser.hpp"
#include "device_timer.hpp"
#include "devices.hpp"
#include "handles.hpp"
#include "kernels/arena.hpp"
#include "kernels/convert.hpp"
#include "kernels/input.hpp"
#include "kernels/loss.hpp"
#include "kernels/reduction.hpp"
#include "nccl/nccl_communicator.hpp"
#include "nccl/registration.hpp"
#include "operations.hpp"
#include "ranges.hpp"
#include "recording.hpp"
#include "stager.hpp"

namespace convoy::cuda {
namespace {

// Bytes now and at most held by arenas; shared with the arenas' releases, which may outlive the backend.
struct Account {
  std::atomic<std::size_t> bytes{0}, peak{0};
};

void free_memory(void* data) noexcept { cudaFree(data); }

double megabytes(std::size_t bytes) { return static_cast<double>(bytes) / 1e6; }

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const DeviceRequest& request);
  ~CudaBackend() override { cudaStreamSynchronize(stream_.get()); }

  const Context& context() const { return context_; }
  Capture& capture() { return capture_; }
  // From now on arenas that will be communicated come from where NCCL moves them best. The result, which marks where
  // the stream waits for other ranks, is this backend's.
  CollectiveMark& will_communicate() {
    if (!collectives_) collectives_.emplace(context_.device, context_.stream);
    return *collectives_;
  }
  const DeviceInfo& info() const override { return info_; }
  DType compute_type() const override { return context_.compute; }

  Arena allocate(std::size_t bytes, std::string_view what, Communicated) override;
  Arena share(const void* host, std::size_t bytes, std::string_view what) override;
  std::size_t allocated_bytes() const override { return account_->bytes; }
  std::size_t peak_allocated_bytes() const override { return account_->peak; }
  std::size_t free_bytes() const override;
  std::unique_ptr<Stager> make_stager(int slots, std::size_t bytes, std::string_view what) override {
    return cuda::make_stager(context_, allocate(static_cast<std::size_t>(slots) * bytes, what, Communicated::no), slots,
                             bytes);
  }

  std::unique_ptr<Operation> plan(const OperationSpec&, int batch, Mode) override;
  std::unique_ptr<Update> plan(const UpdateSpec&) override;
  Choices choices() const override { return plans_->choices(); }
  void prefer(const Choices& choices) override { plans_->prefer(choices); }
  std::unique_ptr<Recording> record(StepKind, const std::function<void()>& step) override {
    return context_.graph ? record_graph(step, stream_.get(), capture_) : record_calls(step);
  }
  std::unique_ptr<DeviceTimer> make_timer(int marks) override { return cuda::make_timer(marks, stream_.get()); }
  void begin_range(std::string_view name) override { ranges_->begin(name); }
  void end_range() override { ranges_->end(); }
  bool profile(bool is_on) override {
    wait();
    CHECK_CUDA(is_on ? cudaProfilerStart() : cudaProfilerStop());
    return true;
  }

  std::size_t narrow_bytes(std::size_t elements) const override {
    return context_.compute == DType::f32 ? 0 : elements * bytes_per_element(context_.compute);
  }
  void narrow(const float* weights, std::size_t count, void* narrow_weights) override {
    cuda::narrow(weights, context_.compute, count, narrow_weights, stream_.get());
  }
  void widen(std::span<const ElementRange> ranges, const void* narrow_gradients, float* gradients) override {
    cuda::widen(ranges, narrow_gradients, context_.compute, gradients, stream_.get());
  }

  std::size_t activation_bytes(int batch, const Extent& extent) const override {
    return static_cast<std::size_t>(batch * extent.elements()) * bytes_per_element(context_.compute);
  }
  void pack_activation(int batch, const Extent&, const float* host_nhwc, void* device) override;
  void unpack_activation(int batch, const Extent&, const void* device, float* host_nhwc) override;

  void upload(void* device, const void* host, std::size_t bytes) override;
  void download(void* host, const void* device, std::size_t bytes) override;
  void copy(void* to, const void* from, std::size_t bytes) override {
    CHECK_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_.get()));
  }
  void zero(void* device, std::size_t bytes) override { CHECK_CUDA(cudaMemsetAsync(device, 0, bytes, stream_.get())); }
  void wait() override {
    CHECK_CUDA(cudaStreamSynchronize(stream_.get()));
    if (collectives_) collectives_->settle();
  }

  void begin_step(const StepRow* rows, std::int32_t* cursor, StepRow* current) override {
    cuda::begin_step(rows, cursor, current, stream_.get());
  }
  void prepare_input(const InputArgs& args) override { cuda::prepare_input(args, context_.compute, stream_.get()); }
  void softmax_cross_entropy(const LossArgs& args) override {
    cuda::softmax_cross_entropy(args, context_.compute, scratch(), stream_.get());
  }
  void accumulate_logits(const float* logits, float weight, bool first, std::size_t count, float* sum) override {
    cuda::accumulate_logits(logits, weight, first, count, sum, stream_.get());
  }
  void add_gradient(int batch, const Extent& extent, void* a, const void* b) override {
    cuda::add_gradient(static_cast<std::size_t>(batch * extent.elements()), context_.compute, a, b, stream_.get());
  }
  void add_scaled(float* a, float factor, const float* b, std::size_t count) override {
    cuda::add_scaled(a, factor, b, count, stream_.get());
  }
  void scale(float* a, float factor, std::size_t count) override {
    cuda::scale(a, factor, count, count > 0 ? left() : nullptr, stream_.get());
  }
  void mean_of_sums(const MeanArgs& args) override {
    cuda::mean_of_sums(args, context_.compute, left(), scratch(), stream_.get());
  }
  double sum_of_squares(const float* values, std::size_t count) override {
    cuda::sum_of_squares(values, count, scratch(), stream_.get());
    return reduced<double>();
  }
  void clip_factor(const float* gradients, std::size_t count, float limit, float* factor, float* norm,
                   LossScale* loss_scale) override {
    cuda::clip_factor(gradients, count, limit, factor, norm, loss_scale, scratch(), stream_.get());
  }
  std::uint64_t checksum(const void* device, std::size_t bytes) override {
    cuda::checksum(device, bytes, scratch(), stream_.get());
    return reduced<std::uint64_t>();
  }
  std::int64_t first_not_finite(const float* values, std::size_t count) override {
    cuda::first_not_finite(values, count, scratch(), stream_.get());
    return reduced<std::int64_t>();
  }

 private:
  template <typename T>
  T reduced() {
    T value;
    download(&value, reductions_.data(), sizeof value);
    return value;
  }

  // For the next kernel that makes means, or null: what it takes back of a mark.
  DeviceMark* left() { return collectives_ ? collectives_->leave() : nullptr; }
  ReductionScratch* scratch() const { return static_cast<ReductionScratch*>(reductions_.data()); }

  Context context_;
  std::optional<CollectiveMark> collectives_;  // of a device that communicates
  Capture capture_;
  DeviceInfo info_;
  std::shared_ptr<Account> account_ = std::make_shared<Account>();
  Stream stream_;
  CudnnHandle cudnn_;
  std::unique_ptr<cudnn::PlanChooser> plans_;
  CublasLtHandle cublas_lt_;
  Arena reductions_;  // a ReductionScratch
  bool reads_host_pages_ = false;
  std::optional<Ranges> ranges_;
};

CudaBackend::CudaBackend(const DeviceRequest& request) {
  CHECK_CUDA(cudaSetDevice(request.index));
  cudaDeviceProp properties{};
  CHECK_CUDA(cudaGetDeviceProperties(&properties, request.index));
  reads_host_pages_ = properties.pageableMemoryAccessUsesHostPageTables != 0;
  cudaStream_t stream = nullptr;
  CHECK_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  stream_.reset(stream);
  name_stream(stream, "compute");
  cudnnHandle_t cudnn = nullptr;
  CHECK_CUDNN(cudnnCreate(&cudnn));
  cudnn_.reset(cudnn);
  CHECK_CUDNN(cudnnSetStream(cudnn, stream));
  cublasLtHandle_t cublas_lt = nullptr;
  CHECK_CUBLAS(cublasLtCreate(&cublas_lt));
  cublas_lt_.reset(cublas_lt);
  reductions_ = allocate(sizeof(ReductionScratch), "sums of parts", Communicated::no);

  plans_ = std::make_unique<cudnn::PlanChooser>(
      cudnn, request.autotune ? cudnn::ChooseBy::measurement : cudnn::ChooseBy::guess,
      cudnn::PlanCache(cudnn::plan_folder()));
  context_ = {.device = request.index,
              .stream = stream,
              .cudnn = cudnn,
              .plans = plans_.get(),
              .cublas_lt = cublas_lt,
              .precision = request.precision,
              .compute = convoy::compute_type(request.precision),
              .workspace_limit = workspace_limit(properties.totalGlobalMem),
              .deterministic = request.deterministic,
              .has_device_alone = request.has_device_alone,
              .graph = request.graph};
  ranges_.emplace(stream, capture_);
  const std::string cuda = runtime_version(), cudnn_library = cudnn_version();
  info_ = {.kind = "cuda",
           .name = fmt::format("GPU {}: {}", request.index, properties.name),
           .libraries = fmt::format("CUDA {}, cuDNN {}", cuda, cudnn_library),
           .versions = {{"cuda", cuda}, {"cudnn", cudnn_library}},
           .precision = request.precision,
           .threads = 1};
}

Arena CudaBackend::allocate(std::size_t bytes, std::string_view what, Communicated communicated) {
  if (bytes == 0) return {};
  void* data = collectives_ && communicated == Communicated::yes ? allocate_registrable(bytes) : nullptr;
  const auto release = data != nullptr ? free_registrable : free_memory;
  const cudaError_t status = data != nullptr ? cudaSuccess : cudaMalloc(&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // forget it: the next check must not report it again
    std::size_t free = 0, total = 0;
    CHECK_CUDA(cudaMemGetInfo(&free, &total));
    fail(
        "GPU {}: {:.1f} MB for {} are not to be had: {:.1f} of {:.1f} MB are free, {:.1f} MB are this run's; a smaller "
        "{} needs less",
        context_.device, megabytes(bytes), what, megabytes(free), megabytes(total), megabytes(account_->bytes),
        batch_option_of(what));
  }
  CHECK_CUDA(status);
  CHECK_CUDA(cudaMemsetAsync(data, 0, bytes, stream_.get()));
  const std::size_t now = account_->bytes.fetch_add(bytes) + bytes;
  if (now > account_->peak) account_->peak = now;
  return {data, bytes, [account = account_, bytes, release](void* pointer) {
            release(pointer);
            account->bytes.fetch_sub(bytes);
          }};
}

Arena CudaBackend::share(const void* host, std::size_t bytes, std::string_view what) {
  Arena arena = allocate(bytes, what, Communicated::no);
  if (bytes != 0) upload(arena.data(), host, bytes);
  return arena;
}

std::size_t CudaBackend::free_bytes() const {
  std::size_t free = 0, total = 0;
  CHECK_CUDA(cudaMemGetInfo(&free, &total));
  return free;
}

// One line a kind of operation.
std::unique_ptr<Operation> CudaBackend::plan(const OperationSpec& spec, int batch, Mode mode) {
  struct Planner {
    int batch;
    Mode mode;
    const Context& context;
    auto operator()(const ConvSpec& s) const { return plan_convolution(s, batch, mode, context); }
    auto operator()(const EpilogueSpec& s) const { return plan_epilogue(s, batch, mode, context); }
    auto operator()(const PoolSpec& s) const { return plan_pool(s, batch, mode, context); }
    auto operator()(const DenseSpec& s) const { return plan_dense(s, batch, mode, context); }
    auto operator()(const DropoutSpec& s) const { return plan_dropout(s, batch, mode, context); }
  };
  return std::visit(Planner{batch, mode, context_}, spec);
}

std::unique_ptr<Update> CudaBackend::plan(const UpdateSpec& spec) {
  struct Planner {
    const Context& context;
    auto operator()(const SgdSpec& s) const { return plan_sgd(s, context); }
    auto operator()(const AdamSpec& s) const { return plan_adam(s, context); }
    auto operator()(const MuonSpec& s) const { return plan_muon(s, context); }
  };
  return std::visit(Planner{context_}, spec);
}

void CudaBackend::pack_activation(int batch, const Extent& extent, const float* host_nhwc, void* device) {
  const auto count = static_cast<std::size_t>(batch * extent.elements());
  if (context_.compute == DType::f32) return upload(device, host_nhwc, count * sizeof(float));
  const Arena wide = allocate(count * sizeof(float), "an activation in fp32", Communicated::no);
  upload(wide.data(), host_nhwc, wide.bytes());
  narrow(wide.floats(), count, device);
  wait();  // before the memory goes
}

void CudaBackend::unpack_activation(int batch, const Extent& extent, const void* device, float* host_nhwc) {
  const auto count = static_cast<std::size_t>(batch * extent.elements());
  if (context_.compute == DType::f32) return download(host_nhwc, device, count * sizeof(float));
  const Arena wide = allocate(count * sizeof(float), "an activation in fp32", Communicated::no);
  const ElementRange all{0, count};
  widen({&all, 1}, device, wide.floats());
  download(host_nhwc, wide.data(), wide.bytes());
}

// The host's memory has been read when the call returns: the driver stages what is pageable, unless the device reads it
// by the host's own page tables.
void CudaBackend::upload(void* device, const void* host, std::size_t bytes) {
  CHECK_CUDA(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_.get()));
  if (reads_host_pages_) wait();
}

void CudaBackend::download(void* host, const void* device, std::size_t bytes) {
  CHECK_CUDA(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_.get()));
  wait();
}

}  // namespace

std::unique_ptr<Backend> make_backend(const DeviceRequest& request) { return std::make_unique<CudaBackend>(request); }

std::unique_ptr<Communicator> connect(Communicator& workers, Backend& backend, const ConnectRequest& request) {
  auto& cuda = dynamic_cast<CudaBackend&>(backend);
  CollectiveMark& mark = cuda.will_communicate();
  const Context& context = cuda.context();
  return make_nccl_communicator(workers, context.device, context.stream, cuda.capture(), mark,
                                {.limit = std::chrono::duration<double>(request.limit_seconds),
                                 .in_order = context.deterministic,
                                 .graphs_share_process = request.graph_collectives});
}

}  // namespace convoy::cuda
