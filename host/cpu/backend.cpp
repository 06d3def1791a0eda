// The CPU backend: owns memory, gives each call to its file.
#include "cpu/backend.hpp"

#include <omp.h>
#include <sched.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>

#include "convoy/error.hpp"
#include "cpu/arena.hpp"
#include "cpu/context.hpp"
#include "cpu/device_timer.hpp"
#include "cpu/dnnl_call.hpp"
#include "cpu/input.hpp"
#include "cpu/loss.hpp"
#include "cpu/operations.hpp"
#include "cpu/stager.hpp"
#include "cpu/winograd.hpp"
#include "io/flush_denormals.hpp"
#include "io/huge_pages.hpp"

namespace convoy {
namespace {

using cpu::Context;

// The calls of a step, kept to be called again.
class Calls final : public Recording {
 public:
  explicit Calls(std::function<void()> step) : step_(std::move(step)) {}
  void replay() override { step_(); }

 private:
  std::function<void()> step_;
};

// The cores that this process may use (affinity and cgroup considered by the kernel).
int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "CPU";
}

// oneDNN has names for those of x86-64 alone.
std::string_view instruction_set_name() {
#if defined(__aarch64__)
  return "aarch64";
#elif !defined(__x86_64__)
  return "generic";
#endif
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return "sse4.1";
    case dnnl::cpu_isa::avx:
      return "avx";
    case dnnl::cpu_isa::avx2:
      return "avx2";
    case dnnl::cpu_isa::avx2_vnni:
      return "avx2_vnni";
    case dnnl::cpu_isa::avx512_core:
      return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "avx512_core_bf16";
    default:
      return "avx512_core_amx or later";
  }
}

bool has_avx512() {
#if defined(__x86_64__)
  return dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core;
#else
  return false;
#endif
}

// Some ten times as fast as AVX-512 where tensors lie as it wants them.
bool multiplies_by_amx(Precision precision) {
#if defined(__x86_64__)
  return precision == Precision::bf16 && dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core_amx;
#else
  return false;
#endif
}

std::string advice_for(Precision precision) {
  const bool is_slower = precision == Precision::fp32 && multiplies_by_amx(Precision::bf16);
  return is_slower ? "this processor has AMX: --precision bf16 trains about twice as fast" : "";
}

// Channels per block of an activation, see layout.hpp.
int native_block(Precision precision) {
  if (multiplies_by_amx(precision)) return cpu::kChannelsLast;
  return has_avx512() ? 16 : 8;
}

// Bytes now and at most held by arenas; shared with the arenas' releases, which may outlive the backend.
struct Account {
  std::atomic<std::size_t> bytes{0}, peak{0};
};

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const CpuOptions& options);

  const DeviceInfo& info() const override { return info_; }
  DType compute_type() const override { return context_.compute; }

  Arena allocate(std::size_t bytes, std::string_view what, Communicated) override;
  Arena share(const void* host, std::size_t bytes, std::string_view) override {
    return {const_cast<void*>(host), bytes, nullptr};  // an Arena knows no const; nobody writes into shared memory
  }
  std::size_t allocated_bytes() const override { return account_->bytes; }
  std::size_t peak_allocated_bytes() const override { return account_->peak; }
  std::size_t free_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
  std::unique_ptr<Stager> make_stager(int slots, std::size_t bytes, std::string_view what) override {
    return cpu::make_stager(allocate(static_cast<std::size_t>(slots) * bytes, what, Communicated::no), slots, bytes);
  }

  std::unique_ptr<Operation> plan(const OperationSpec&, int batch, Mode) override;
  std::unique_ptr<Update> plan(const UpdateSpec&) override;
  std::unique_ptr<DeviceTimer> make_timer(int marks) override { return cpu::make_timer(marks); }
  std::unique_ptr<Recording> record(StepKind, const std::function<void()>& step) override {
    return std::make_unique<Calls>(step);
  }

  std::size_t activation_bytes(int batch, const Extent&) const override;
  void pack_activation(int batch, const Extent&, const float* host_nhwc, void* device) override;
  void unpack_activation(int batch, const Extent&, const void* device, float* host_nhwc) override;

  void upload(void* device, const void* host, std::size_t bytes) override { copy(device, host, bytes); }
  void download(void* host, const void* device, std::size_t bytes) override { copy(host, device, bytes); }
  // The addresses of nothing may be null, which memcpy and memset forbid.
  void copy(void* to, const void* from, std::size_t bytes) override {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  void zero(void* device, std::size_t bytes) override {
    if (bytes > 0) std::memset(device, 0, bytes);
  }
  void wait() override {}

  void begin_step(const StepRow* rows, std::int32_t* cursor, StepRow* current) override {
    *current = rows[(*cursor)++];
  }
  void prepare_input(const InputArgs& args) override { cpu::prepare_input(args, context_); }
  void softmax_cross_entropy(const LossArgs& args) override { cpu::softmax_cross_entropy(args, context_); }
  void accumulate_logits(const float* logits, float weight, bool first, std::size_t count, float* sum) override {
    cpu::accumulate_logits(logits, weight, first, count, sum, context_);
  }
  void add_gradient(int batch, const Extent& extent, void* a, const void* b) override {
    cpu::add_gradient(batch, extent, a, b, context_);
  }
  void add_scaled(float* a, float factor, const float* b, std::size_t count) override {
    cpu::add_scaled(a, factor, b, count, context_);
  }
  void scale(float* a, float factor, std::size_t count) override { cpu::scale(a, factor, count, context_); }
  void mean_of_sums(const MeanArgs& args) override { cpu::mean_of_sums(args, context_); }
  double sum_of_squares(const float* values, std::size_t count) override {
    return cpu::sum_of_squares(values, count, context_);
  }
  void clip_factor(const float* gradients, std::size_t count, float limit, float* factor, float* norm,
                   LossScale* /*loss_scale*/) override {
    cpu::clip_factor(gradients, count, limit, factor, norm, context_);
  }
  std::uint64_t checksum(const void* device, std::size_t bytes) override {
    return cpu::checksum(device, bytes, context_);
  }
  std::int64_t first_not_finite(const float* values, std::size_t count) override {
    return cpu::first_not_finite(values, count, context_);
  }

 private:
  void convert(int batch, const Extent&, const dnnl::memory::desc& from_description, const void* from,
               const dnnl::memory::desc& to_description, void* to);

  Context context_;
  DeviceInfo info_;
  std::shared_ptr<Account> account_ = std::make_shared<Account>();
};

CpuBackend::CpuBackend(const CpuOptions& options) {
  const std::string lacks = cpu_lacks(options.precision);
  CONVOY_CHECK(lacks.empty(), "--precision {}: {}", name(options.precision), lacks);
  context_.threads = options.threads > 0 ? options.threads : usable_cores();
  omp_set_dynamic(0);
  omp_set_num_threads(context_.threads);  // of the calling thread, which is this worker's; oneDNN asks OpenMP
#pragma omp parallel num_threads(context_.threads)
  flush_denormals();
  context_.engine = dnnl::engine(dnnl::engine::kind::cpu, 0);
  context_.stream = dnnl::stream(context_.engine);
  context_.compute = convoy::compute_type(options.precision);
  context_.native_block = native_block(options.precision);
  context_.winograd = cpu::is_winograd_wanted();
  context_.kernels = &cpu::select_kernels();

  const dnnl_version_t* version = dnnl_version();
  const std::string number = fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
  info_ = {.kind = "cpu",
           .name = processor_name(),
           .libraries = fmt::format("oneDNN {} ({})", number, instruction_set_name()),
           .versions = {{"onednn", number},
                        {"onednn_instructions", std::string(instruction_set_name())},
                        {"kernels", std::string(context_.kernels->isa)}},
           .precision = options.precision,
           .threads = context_.threads,
           .advice = advice_for(options.precision)};
}

Arena CpuBackend::allocate(std::size_t bytes, std::string_view what, Communicated) {
  if (bytes == 0) return {};
  const std::size_t alignment = bytes < kHugePage / 2 ? page_size() : kHugePage;
  const std::size_t taken = whole_pages(bytes, alignment);
  void* data = std::aligned_alloc(alignment, taken);
  CONVOY_CHECK(data != nullptr, "{}: {:.1f} MB of memory are not to be had; a smaller {} needs less", what,
               static_cast<double>(bytes) / 1e6, batch_option_of(what));
  ask_for_huge_pages(data, taken);  // to the end, too: collectives pin page by page
  std::memset(data, 0, bytes);
  const std::size_t now = account_->bytes.fetch_add(bytes) + bytes;
  if (now > account_->peak) account_->peak = now;
  return {data, bytes, [account = account_, bytes](void* pointer) {
            std::free(pointer);
            account->bytes.fetch_sub(bytes);
          }};
}

// One line a kind of operation.
std::unique_ptr<Operation> CpuBackend::plan(const OperationSpec& spec, int batch, Mode mode) {
  struct Planner {
    int batch;
    Mode mode;
    const Context& context;
    auto operator()(const ConvSpec& s) const { return cpu::plan_convolution(s, batch, mode, context); }
    auto operator()(const EpilogueSpec& s) const { return cpu::plan_epilogue(s, batch, mode, context); }
    auto operator()(const PoolSpec& s) const { return cpu::plan_pool(s, batch, mode, context); }
    auto operator()(const DenseSpec& s) const { return cpu::plan_dense(s, batch, mode, context); }
    auto operator()(const DropoutSpec& s) const { return cpu::plan_dropout(s, batch, mode, context); }
  };
  try {
    return std::visit(Planner{batch, mode, context_}, spec);
  } catch (const dnnl::error& error) {
    fail("oneDNN refuses an operation: {}", error.what());
  }
}

std::unique_ptr<Update> CpuBackend::plan(const UpdateSpec& spec) {
  struct Planner {
    const Context& context;
    auto operator()(const SgdSpec& s) const { return cpu::plan_sgd(s, context); }
    auto operator()(const AdamSpec& s) const { return cpu::plan_adam(s, context); }
    auto operator()(const MuonSpec& s) const { return cpu::plan_muon(s, context); }
  };
  return std::visit(Planner{context_}, spec);
}

std::size_t CpuBackend::activation_bytes(int batch, const Extent& extent) const {
  return static_cast<std::size_t>(batch * context_.layout(extent).sample_elements()) *
         bytes_per_element(context_.compute);
}

void CpuBackend::convert(int batch, const Extent& extent, const dnnl::memory::desc& from_description, const void* from,
                         const dnnl::memory::desc& to_description, void* to) {
  cpu::Reorder reorder(from_description, to_description, context_);
  if (reorder.is_needed()) {
    reorder.run(from, to, context_);
  } else {
    std::memcpy(to, from, activation_bytes(batch, extent));
  }
}

void CpuBackend::pack_activation(int batch, const Extent& extent, const float* host_nhwc, void* device) {
  const dnnl::memory::desc plain({batch, extent.channels, extent.height, extent.width}, dnnl::memory::data_type::f32,
                                 dnnl::memory::format_tag::nhwc);
  convert(batch, extent, plain, host_nhwc, cpu::activation_description(batch, extent, context_.compute, context_),
          device);
}

void CpuBackend::unpack_activation(int batch, const Extent& extent, const void* device, float* host_nhwc) {
  const dnnl::memory::desc plain({batch, extent.channels, extent.height, extent.width}, dnnl::memory::data_type::f32,
                                 dnnl::memory::format_tag::nhwc);
  convert(batch, extent, cpu::activation_description(batch, extent, context_.compute, context_), device, plain,
          host_nhwc);
}

}  // namespace

std::string cpu_missing() { return ""; }

std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options) { return std::make_unique<CpuBackend>(options); }

std::string cpu_lacks(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "";
    case Precision::bf16:
      return has_avx512() && dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core_bf16
                 ? ""
                 : "this processor has no bf16 instructions (AVX-512 BF16 or AMX)";
    case Precision::tf32:
      return "tf32 exists on NVIDIA GPUs only";
    case Precision::fp16:
      return "the CPU backend computes in fp32 or bf16";
  }
  return "unknown";
}

}  // namespace convoy
