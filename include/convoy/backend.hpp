// The first seam: one device of one worker. It owns device memory, streams and the physical layout of activations.
// Everything above it is compiled once and knows no device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convoy/device_timer.hpp"
#include "convoy/loss_scale.hpp"
#include "convoy/operation.hpp"
#include "convoy/stager.hpp"
#include "convoy/step_row.hpp"
#include "convoy/types.hpp"
#include "convoy/update.hpp"

namespace convoy {

// Device memory that frees itself; zeroed when allocated. Move-only.
class Arena {
 public:
  using Release = std::function<void(void*)>;
  Arena() = default;
  Arena(void* data, std::size_t bytes, Release release);
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;
  ~Arena();

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  std::byte* at(std::size_t offset) const { return static_cast<std::byte*>(data_) + offset; }
  float* floats() const { return static_cast<float*>(data_); }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  Release release_;
};

// The option that makes arenas of such a name smaller: what to say where one is not to be had.
std::string_view batch_option_of(std::string_view what);

// Elements of an arena.
struct ElementRange {
  std::size_t offset = 0, count = 0;
};

enum class Communicated : std::uint8_t { no, yes };  // whether a communicator will reduce this arena in place

// Where a batch's samples come from. Images are uint8 [rows,H,W,C], labels int32 [rows], both device memory.
// Position p of the batch is sample order[row->first + p]; its pixels and label lie in row `sample` of images and
// labels, or, where `staged`, in row p.
struct BatchSource {
  const std::uint8_t* images = nullptr;
  const std::int32_t* labels = nullptr;
  const std::int32_t* order = nullptr;
  bool staged = false;
};

enum class Flip : std::uint8_t { none, random, alternating };

// Random augmentation, in this order: translate, flip, colour, normalise, cutout. With f the flip,
// output(y, x) = image(reflect(y + dy), reflect((f ? W-1-x : x) + dx)); reflect does not repeat the edge (-1 is 1, H is
// H-2), so t must be below H and W. Draws for sample s in epoch e from random_bits(seed, purpose, e, s):
// flip: random: bit 0 of x with purpose flip. alternating (Jordan 2024): the same with epoch 0, xor (e & 1).
// translate by t: dx = below(x, 2t+1) - t, dy = below(y, 2t+1) - t.
// colour of a pixel p in 0..1: ((p - 0.5) * contrast + 0.5) + brightness, not clamped, where contrast is
// 1 + contrast * (2 u(x) - 1) and brightness is brightness * (2 u(y) - 1). On pixels in 0..255, in fp32 to the bit:
//   k = fma(contrast, fma(2, u(x), -1), 1);  b = brightness * fma(2, u(y), -1);
//   shift = fma(255, b, fma(-127.5, k, 127.5));  pixel' = fma(pixel, k, shift);  output = fma(pixel', scale, offset)
// (k = 1 and shift = 0, hence pixel' = pixel, where both are 0). bf16 rounds the output to nearest even.
// cutout of side c: centre (below(x, W), below(y, H)) of the output, covers [centre - c/2, centre - c/2 + c) (c/2
// rounded down), filled with 0, which is the mean.
struct Augmentation {
  Flip flip = Flip::none;
  int translate = 0;     // pixels
  int cutout = 0;        // side in pixels
  float brightness = 0;  // of the 0..1 range
  float contrast = 0;
};

// A fixed view for evaluation: shifted by whole pixels with reflect padding, then mirrored or not; as Augmentation:
// output(y, x) = image(reflect(y + dy), reflect((mirror ? W-1-x : x) + dx)).
struct View {
  bool mirror = false;
  int dy = 0, dx = 0;
};

struct InputArgs {
  BatchSource source;
  Extent image;  // of the data: channels 1 or 3
  Extent input;  // of the network: grey repeated where it has 3 channels and the data 1
  int rows = 0;  // the planned batch; rows beyond row->count become zero
  const float* scale =
      nullptr;  // [input.channels] device memory: output = pixel * scale + offset, one fused multiply-add
  const float* offset = nullptr;
  Mode mode = Mode::train;
  Augmentation augmentation;  // train
  View view;                  // evaluate
  void* output = nullptr;     // [N,H,W,C], the backend's layout and compute type
  const StepRow* row = nullptr;
};

// Sums over steps, on the device until somebody copies them.
struct LossSums {
  double loss = 0;
  std::int64_t correct = 0;
  std::int64_t samples = 0;
  std::int64_t not_finite = 0;  // samples whose loss was NaN or infinite
};

// Softmax cross-entropy with label smoothing, forward and backward in one pass; adds to *sums.
// logits fp32 [N, classes], multiplied by logit_scale first. gradient [N, classes] in the type that the last
// dense operation's output_gradient has (compute type); null in evaluation. Padding rows get gradient 0.
// Target: 1 - smoothing on the label plus smoothing / classes on every class. Gradient: logit_scale * row->loss_weight
// * loss_scale->scale * (p - target); *sums hold the unweighted loss. Correct: the first of the largest logits is the
// label's and the loss is finite; a loss that is not is added all the same.
struct LossArgs {
  const float* logits = nullptr;
  BatchSource source;
  int rows = 0, classes = 0;
  float logit_scale = 1, smoothing = 0;
  void* gradient = nullptr;
  LossSums* sums = nullptr;
  const StepRow* row = nullptr;
  const LossScale* loss_scale = nullptr;  // null but in fp16: 1
};

// Sums over ranks become their means: values[i] *= factor.
struct MeanArgs {
  float* values = nullptr;
  std::size_t count = 0;
  float factor = 1;
  void* narrow_values = nullptr;  // the means in the compute type; null: nobody wants them there
  std::size_t squared = 0;        // the first so many means
  double* square = nullptr;       // device memory: what sum_of_squares says of those; null: nobody wants it
};

// What is recorded; part of the key under which a recording is kept. All ranks record the same kinds.
enum class StepKind : std::uint8_t { full, last, evaluate };

// So many kernels were recorded within these ranges, from the outermost: "backward/conv1".
struct RecordedRange {
  std::string path;
  int kernels = 0;
};

class Recording {
 public:
  virtual ~Recording() = default;
  virtual void replay() = 0;  // enqueues; never waits
  // In the order of the calls, for profilers: no range fires in a replay. Empty where a replay makes the calls.
  virtual std::vector<RecordedRange> ranges() const { return {}; }
};

struct DeviceInfo {
  std::string kind;                             // "cpu" or "cuda"
  std::string name;                             // the processor's or GPU's name
  std::string libraries;                        // "oneDNN 2.6.3 (avx2)"
  std::map<std::string, std::string> versions;  // {"onednn", "2.6.3"}, for summary.json
  Precision precision = Precision::fp32;
  int threads = 1;
  std::string advice = {};  // which other option would make a training faster here, in one line; often empty
};

// What a backend chose where it may compute the same in several ways: what for, which includes the kind of device and
// the versions of libraries, and the choice, a JSON value of its own as compact text.
using Choices = std::map<std::string, std::string>;

class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  virtual const DeviceInfo& info() const = 0;
  virtual DType compute_type() const = 0;

  // Whole pages of its own, where it lies in host memory.
  virtual Arena allocate(std::size_t bytes, std::string_view what, Communicated = Communicated::no) = 0;
  // Device memory with these contents, read only. It may be the host's own memory, which must outlive it.
  virtual Arena share(const void* host, std::size_t bytes, std::string_view what) = 0;
  virtual std::size_t allocated_bytes() const = 0;  // now held by arenas
  virtual std::size_t peak_allocated_bytes() const = 0;
  // Device memory that `share` may still take; without limit where it takes none.
  virtual std::size_t free_bytes() const = 0;
  // `slots` slots of `bytes` each. It is destroyed before the backend.
  virtual std::unique_ptr<Stager> make_stager(int slots, std::size_t bytes, std::string_view what) = 0;

  virtual std::unique_ptr<Operation> plan(const OperationSpec&, int batch, Mode) = 0;
  virtual std::unique_ptr<Update> plan(const UpdateSpec&) = 0;
  // What was chosen for what has been planned, and what `prefer` said. Empty where there is nothing to choose.
  virtual Choices choices() const { return {}; }
  // What is planned from now on takes these; what is for another device, or is refused by its library, is passed over.
  virtual void prefer(const Choices&) {}
  // For at most so many marks between two calls of `intervals`. It is destroyed before the backend.
  virtual std::unique_ptr<DeviceTimer> make_timer(int marks) = 0;
  // See Range.
  virtual void begin_range(std::string_view /*name*/) {}
  virtual void end_range() {}
  // A profiler that waits for it begins to record, or no longer does. Waits. False: this device has none.
  virtual bool profile(bool /*is_on*/) { return false; }
  virtual std::unique_ptr<Recording> record(StepKind, const std::function<void()>& step) = 0;

  // Narrow weights: a whole buffer of parameters in the compute type, at the same offsets, for a backend whose
  // operations read them there. Updates and means write them along; whoever else changes weights calls `narrow`.
  // Bytes for so many elements; 0: operations read the fp32 weights, or copies of their own (Operation::refresh).
  virtual std::size_t narrow_bytes(std::size_t /*elements*/) const { return 0; }
  virtual void narrow(const float* /*weights*/, std::size_t /*count*/, void* /*narrow_weights*/) {}
  // The way back, for gradients that operations wrote in the compute type (Needs::narrow_gradient): over these ranges
  // `gradients` becomes what `narrow_gradients` is.
  virtual void widen(std::span<const ElementRange> /*ranges*/, const void* /*narrow_gradients*/, float* /*gradients*/) {
  }

  // Bytes of an activation [N,H,W,C] in this backend's layout, and the two conversions; for the edges (tests, init).
  virtual std::size_t activation_bytes(int batch, const Extent&) const = 0;
  virtual void pack_activation(int batch, const Extent&, const float* host_nhwc, void* device) = 0;
  virtual void unpack_activation(int batch, const Extent&, const void* device, float* host_nhwc) = 0;

  // Host <-> device, ordered with what is enqueued. `download` waits. Of no bytes, addresses may be null.
  virtual void upload(void* device, const void* host, std::size_t bytes) = 0;
  virtual void download(void* host, const void* device, std::size_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  virtual void zero(void* device, std::size_t bytes) = 0;
  virtual void wait() = 0;

  // rows[*cursor] becomes *current; ++*cursor.
  virtual void begin_step(const StepRow* rows, std::int32_t* cursor, StepRow* current) = 0;
  virtual void prepare_input(const InputArgs&) = 0;
  virtual void softmax_cross_entropy(const LossArgs&) = 0;
  // sum[i] += weight * logits[i], fp32; `first` overwrites. For test-time views.
  virtual void accumulate_logits(const float* logits, float weight, bool first, std::size_t count, float* sum) = 0;
  // a += b over an activation gradient of this backend's layout and compute type.
  virtual void add_gradient(int batch, const Extent&, void* a, const void* b) = 0;
  // Over fp32 arenas: a += factor * b (exact where factor is 1), and a *= factor.
  virtual void add_scaled(float* a, float factor, const float* b, std::size_t count) = 0;
  virtual void scale(float* a, float factor, std::size_t count) = 0;
  virtual void mean_of_sums(const MeanArgs&) = 0;  // in one pass
  // In fp64, the same on every instruction set. Waits.
  virtual double sum_of_squares(const float* values, std::size_t count) = 0;
  // *factor = min(1, limit / ||gradients||), fp64 sums; *norm = ||gradients||. With a loss scale, which there is in
  // fp16 alone, of gradients / scale, with that division in *factor; then judges it.
  virtual void clip_factor(const float* gradients, std::size_t count, float limit, float* factor, float* norm,
                           LossScale* loss_scale) = 0;
  // As convoy/checksum.hpp defines it; equal on every backend. Waits.
  virtual std::uint64_t checksum(const void* device, std::size_t bytes) = 0;
  // Index of the first value that is not finite, or -1. Waits.
  virtual std::int64_t first_not_finite(const float* values, std::size_t count) = 0;
};

// A named part of the work, for profilers: what is enqueued while it lives. Ranges nest.
class Range {
 public:
  Range(Backend& backend, std::string_view name) : backend_(backend) { backend_.begin_range(name); }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
  ~Range() { backend_.end_range(); }

 private:
  Backend& backend_;
};

}  // namespace convoy
