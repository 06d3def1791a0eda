// The forward passes of what follows a convolution: pooling and the statistics' sums in one pass over the input,
// normalisation, residual addition and activation in another. Layouts: see kernels/epilogue.hpp.
#include "cpu/kernels/epilogue_parts.hpp"
#include "cpu/kernels/math.hpp"

namespace convoy::cpu::CONVOY_ISA {
namespace {

// Pooled rows fetched ahead of use: the hardware does not follow two rows of a plane over page boundaries.
constexpr int kRowsAhead = 2;

// Where pooled pixels go: `stride` elements apart.
template <typename T>
struct Pooled {
  T* data;
  int stride;
};

// Pools `pixels` outputs of one row. Ties go to the first position in row-major order; a NaN wins, as in PyTorch.
// `pool` 0: the window's size at run time.
template <int width, bool full, int pool, typename T>
void pool_windows(const EpilogueArgs& args, const T* from, int lanes, int pixels, Pooled<T> to, std::uint8_t* argmax) {
  const int size = pool == 0 ? args.pool : pool;
  const int stride = args.block;
  const std::int64_t row_stride = std::int64_t{args.width} * stride;
  const int ahead = size * kRowsAhead;
  for (int pixel = 0; pixel < pixels; ++pixel) {
    const T* window = from + std::int64_t{pixel} * size * stride;
    for (int row = 0; row < size; ++row) __builtin_prefetch(window + (ahead + row) * row_stride);
    Floats<width> best = load<width, full>(window, lanes);
    Ints<width> place{};
    for (int row = 0; row < size; ++row) {
      for (int column = row == 0 ? 1 : 0; column < size; ++column) {
        const Floats<width> value = load<width, full>(window + row * row_stride + column * stride, lanes);
        const Ints<width> wins = (value > best) | (value != value);
        best = wins ? value : best;
        place = wins ? Ints<width>{} + (row * size + column) : place;
      }
    }
    store<width, full>(to.data + std::int64_t{pixel} * to.stride, best, lanes);
    if (argmax != nullptr) store_index<width, full>(argmax + std::int64_t{pixel} * stride, place, lanes);
  }
}

template <int width, bool full, typename T>
void pool_row(const EpilogueArgs& args, const T* from, int lanes, int pixels, Pooled<T> to, std::uint8_t* argmax) {
  if (args.pool == 2) {
    pool_windows<width, full, 2>(args, from, lanes, pixels, to, argmax);
  } else {
    pool_windows<width, full, 0>(args, from, lanes, pixels, to, argmax);
  }
}

// Sums of x - shift and of its square over a chunk: fp32 over at most a few hundred pixels, doubles beyond. The
// shift is near the mean, so that a mean far larger than the deviation costs no digits.
template <int width, bool full, typename T>
class ChunkSums {
 public:
  void add(const T* from, int pixels, int stride, int lanes) {
    if (count_ == 0 && pending_ == 0) shift_from(from, pixels, stride, lanes);
    for (int first = 0; first < pixels; first += kSegmentPixels) {
      const int segment = pixels - first < kSegmentPixels ? pixels - first : kSegmentPixels;
      add_segment(from + std::int64_t{first} * stride, segment, stride, lanes);
      if (pending_ >= kSegmentPixels / 2) flush();
    }
  }

  void write(double* mean, double* squares, int lanes) {
    flush();
    for (int lane = 0; lane < lanes; ++lane) {
      mean[lane] = static_cast<double>(shift_[lane]) + sum_total_[lane] / count_;
      squares[lane] = square_total_[lane] - sum_total_[lane] * sum_total_[lane] / count_;
    }
  }

 private:
  void shift_from(const T* from, int pixels, int stride, int lanes) {
    const int probes = pixels < 8 ? pixels : 8;
    Floats<width> sum{};
    for (int pixel = 0; pixel < probes; ++pixel) sum += load<width, full>(from + pixel * stride, lanes);
    shift_ = sum * (1.0F / static_cast<float>(probes));
  }

  void add_segment(const T* from, int pixels, int stride, int lanes) {
    const Floats<width> shift = shift_;
    Floats<width> sum[4] = {sum_, {}, {}, {}};
    Floats<width> square[4] = {square_, {}, {}, {}};
    int pixel = 0;
    for (; pixel + 4 <= pixels; pixel += 4) {
#pragma GCC unroll 4
      for (int part = 0; part < 4; ++part) {
        const Floats<width> value = load<width, full>(from + std::int64_t{pixel + part} * stride, lanes) - shift;
        sum[part] += value;
        square[part] += value * value;
      }
    }
    for (; pixel < pixels; ++pixel) {
      const Floats<width> value = load<width, full>(from + std::int64_t{pixel} * stride, lanes) - shift;
      sum[0] += value;
      square[0] += value * value;
    }
    sum_ = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    square_ = (square[0] + square[1]) + (square[2] + square[3]);
    pending_ += pixels;
  }

  void flush() {
    for (int lane = 0; lane < width; ++lane) {
      sum_total_[lane] += static_cast<double>(sum_[lane]);
      square_total_[lane] += static_cast<double>(square_[lane]);
    }
    sum_ = square_ = Floats<width>{};
    count_ += pending_;
    pending_ = 0;
  }

  Floats<width> shift_{}, sum_{}, square_{};
  double sum_total_[width] = {}, square_total_[width] = {};
  double count_ = 0;
  int pending_ = 0;
};

template <int width, bool full, typename T>
void sum_chunk(const EpilogueArgs& args, const Chunk& chunk, int block, int lane, int lanes) {
  const std::int64_t pooled_pixels = std::int64_t{args.pooled_height} * args.pooled_width;
  ChunkSums<width, full, T> sums;
  for (int sample = chunk.first; sample < chunk.end; ++sample) {
    const std::int64_t plane = std::int64_t{sample} * args.blocks + block;
    const T* from = static_cast<const T*>(args.input) + plane * args.height * args.width * args.block + lane;
    if (args.pool == 1) {
      sums.add(from, static_cast<int>(pooled_pixels), args.block, lanes);
      continue;
    }
    for (int row = 0; row < args.pooled_height; ++row) {
      const std::int64_t to =
          pooled_offset(args, sample, block) + std::int64_t{row} * args.pooled_width * args.block + lane;
      const Pooled<T> pooled{static_cast<T*>(args.pooled) + to, args.block};
      pool_row<width, full>(args, from + std::int64_t{row} * args.pool * args.width * args.block, lanes,
                            args.pooled_width, pooled, args.argmax == nullptr ? nullptr : args.argmax + to);
      sums.add(pooled.data, args.pooled_width, args.block, lanes);
    }
  }
  double* mean = chunk_sums(args, chunk, block) + lane;
  sums.write(mean, mean + std::int64_t{args.blocks} * args.block, lanes);
}

void forward_sums(const EpilogueArgs& args) {
  with_type(args.type, [&]<typename T>() {
    for_chunks(args, [&](const Chunk& chunk, int block) {
      for_lane_groups(pooled_lanes(args, block), [&]<int width, bool full>(int lane, int lanes) {
        sum_chunk<width, full, T>(args, chunk, block, lane, lanes);
      });
    });
  });
}

template <int width>
struct Factors {
  Floats<width> mean, factor, shift;
};

// A run of pixels through normalisation, residual addition and activation.
template <int width, bool full, Activation activation, bool residual, typename T>
void apply_run(const EpilogueArgs& args, const Factors<width>& channel, const T* from, int from_stride, std::int64_t at,
               int pixels, int lanes) {
  const Floats<width> mean = channel.mean, factor = channel.factor, shift = channel.shift;
  const int stride = args.block;
  const T* added = residual ? static_cast<const T*>(args.residual) + at : nullptr;
  T* before = args.preactivation == nullptr ? nullptr : static_cast<T*>(args.preactivation) + at;
  T* to = static_cast<T*>(args.output) + at;
  for (int pixel = 0; pixel < pixels; ++pixel) {
    const std::int64_t offset = std::int64_t{pixel} * stride;
    Floats<width> value = load<width, full>(from + std::int64_t{pixel} * from_stride, lanes);
    value = (value - mean) * factor + shift;
    if constexpr (residual) value += load<width, full>(added + offset, lanes);
    if (residual && before != nullptr) store<width, full>(before + offset, value, lanes);
    store<width, full>(to + offset, activate<activation, width>(value), lanes);
  }
}

template <int width, bool full, Activation activation, bool residual, typename T>
void apply_plane(const EpilogueArgs& args, int sample, int block, int lane, int lanes) {
  const int pooled_pixels = args.pooled_height * args.pooled_width;
  const std::int64_t at_group = channel_offset(args, sample, block, lane);
  const Factors<width> channel{load<width, full>(args.mean + at_group, lanes),
                               load<width, full>(args.factor + at_group, lanes),
                               load<width, full>(args.shift + std::int64_t{block} * args.block + lane, lanes)};
  const std::int64_t to = pooled_offset(args, sample, block) + lane;
  const T* input = static_cast<const T*>(args.input);
  if (args.pool == 1) {
    apply_run<width, full, activation, residual>(args, channel, input + to, args.block, to, pooled_pixels, lanes);
    return;
  }
  const T* from = input + (std::int64_t{sample} * args.blocks + block) * args.height * args.width * args.block + lane;
  constexpr int kRun = 32;  // pixels pooled into a buffer that stays in the first-level cache
  T buffer[kRun * width];
  for (int row = 0; row < args.pooled_height; ++row) {
    for (int column = 0; column < args.pooled_width; column += kRun) {
      const int pixels = args.pooled_width - column < kRun ? args.pooled_width - column : kRun;
      const std::int64_t at = to + (std::int64_t{row} * args.pooled_width + column) * args.block;
      const std::int64_t window = (std::int64_t{row} * args.width + column) * args.pool * args.block;
      const Pooled<T> pooled =
          args.pooled == nullptr ? Pooled<T>{buffer, width} : Pooled<T>{static_cast<T*>(args.pooled) + at, args.block};
      pool_row<width, full>(args, from + window, lanes, pixels, pooled,
                            args.argmax == nullptr ? nullptr : args.argmax + at);
      apply_run<width, full, activation, residual, T>(args, channel, pooled.data, pooled.stride, at, pixels, lanes);
    }
  }
}

void forward_apply(const EpilogueArgs& args) {
  with_type(args.type, [&]<typename T>() {
    with_activation(args.activation, [&]<Activation activation>() {
      for_planes(args, [&](int sample, int block) {
        for_lane_groups(pooled_lanes(args, block), [&]<int width, bool full>(int lane, int lanes) {
          if (args.residual == nullptr) {
            apply_plane<width, full, activation, false, T>(args, sample, block, lane, lanes);
          } else {
            apply_plane<width, full, activation, true, T>(args, sample, block, lane, lanes);
          }
        });
      });
    });
  });
}

}  // namespace

void add_epilogue_forward(EpilogueKernels* kernels) {
  kernels->forward_sums = forward_sums;
  kernels->forward_apply = forward_apply;
}

}  // namespace convoy::cpu::CONVOY_ISA
