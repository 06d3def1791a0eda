// Max and average pooling with any window, stride and padding. Backward gathers: each input pixel sums what the
// windows that hold it hand back, so that overlapping windows need no zeroing and round once.
#include "cpu/kernels/pool.hpp"

#include "cpu/kernels/providers.hpp"
#include "cpu/kernels/vector.hpp"

namespace convoy::cpu::CONVOY_ISA {
namespace {

struct Range {
  int first, end;
};

CONVOY_INLINE int smaller(int a, int b) { return a < b ? a : b; }
CONVOY_INLINE int larger(int a, int b) { return a > b ? a : b; }

// The pixels of one axis that a window holds.
CONVOY_INLINE Range window(int place, int stride, int padding, int kernel, int size) {
  const int first = place * stride - padding;
  return {larger(first, 0), smaller(first + kernel, size)};
}

// The windows of one axis that hold a pixel.
CONVOY_INLINE Range holders(int pixel, int stride, int padding, int kernel, int windows) {
  const int last = pixel + padding;
  const int before = last - kernel + 1;
  return {before <= 0 ? 0 : (before + stride - 1) / stride, smaller(last / stride + 1, windows)};
}

template <int width, bool full, typename T>
void max_forward_plane(const PoolArgs& args, std::int64_t in, std::int64_t out, int lanes) {
  const T* from = static_cast<const T*>(args.input) + in;
  T* to = static_cast<T*>(args.output) + out;
  for (int y = 0; y < args.output_height; ++y) {
    const Range rows = window(y, args.stride_height, args.padding_top, args.kernel_height, args.height);
    for (int x = 0; x < args.output_width; ++x) {
      const Range columns = window(x, args.stride_width, args.padding_left, args.kernel_width, args.width);
      const int corner =
          (y * args.stride_height - args.padding_top) * args.kernel_width + x * args.stride_width - args.padding_left;
      Floats<width> best =
          load<width, full>(from + (std::int64_t{rows.first} * args.width + columns.first) * args.block, lanes);
      Ints<width> place = Ints<width>{} + (rows.first * args.kernel_width + columns.first - corner);
      for (int row = rows.first; row < rows.end; ++row) {
        for (int column = columns.first; column < columns.end; ++column) {
          const Floats<width> value =
              load<width, full>(from + (std::int64_t{row} * args.width + column) * args.block, lanes);
          const Ints<width> wins = (value > best) | (value != value);
          best = wins ? value : best;
          place = wins ? Ints<width>{} + (row * args.kernel_width + column - corner) : place;
        }
      }
      const std::int64_t at = (std::int64_t{y} * args.output_width + x) * args.block;
      store<width, full>(to + at, best, lanes);
      if (args.argmax != nullptr) store_index<width, full>(args.argmax + out + at, place, lanes);
    }
  }
}

template <int width, bool full, typename T>
void average_forward_plane(const PoolArgs& args, std::int64_t in, std::int64_t out, int lanes) {
  const T* from = static_cast<const T*>(args.input) + in;
  T* to = static_cast<T*>(args.output) + out;
  for (int y = 0; y < args.output_height; ++y) {
    const Range rows = window(y, args.stride_height, args.padding_top, args.kernel_height, args.height);
    for (int x = 0; x < args.output_width; ++x) {
      const Range columns = window(x, args.stride_width, args.padding_left, args.kernel_width, args.width);
      Floats<width> sum{};
      for (int row = rows.first; row < rows.end; ++row) {
        Floats<width> row_sum{};
        for (int column = columns.first; column < columns.end; ++column) {
          row_sum += load<width, full>(from + (std::int64_t{row} * args.width + column) * args.block, lanes);
        }
        sum += row_sum;
      }
      const int count = (rows.end - rows.first) * (columns.end - columns.first);
      store<width, full>(to + (std::int64_t{y} * args.output_width + x) * args.block, sum / static_cast<float>(count),
                         lanes);
    }
  }
}

template <int width, bool full, typename T>
void max_backward_plane(const PoolArgs& args, std::int64_t in, std::int64_t out, int lanes) {
  const T* gradients = static_cast<const T*>(args.output_gradient) + out;
  const std::uint16_t* argmax = args.argmax + out;
  T* to = static_cast<T*>(args.input_gradient) + in;
  for (int row = 0; row < args.height; ++row) {
    const Range ys = holders(row, args.stride_height, args.padding_top, args.kernel_height, args.output_height);
    for (int column = 0; column < args.width; ++column) {
      const Range xs = holders(column, args.stride_width, args.padding_left, args.kernel_width, args.output_width);
      Floats<width> sum{};
      for (int y = ys.first; y < ys.end; ++y) {
        const int place_row = row + args.padding_top - y * args.stride_height;
        for (int x = xs.first; x < xs.end; ++x) {
          const int place = place_row * args.kernel_width + column + args.padding_left - x * args.stride_width;
          const std::int64_t at = (std::int64_t{y} * args.output_width + x) * args.block;
          const Floats<width> gradient = load<width, full>(gradients + at, lanes);
          sum += load_index<width, full>(argmax + at, lanes) == place ? gradient : Floats<width>{};
        }
      }
      store<width, full>(to + (std::int64_t{row} * args.width + column) * args.block, sum, lanes);
    }
  }
}

template <int width, bool full, typename T>
void average_backward_plane(const PoolArgs& args, std::int64_t in, std::int64_t out, int lanes) {
  const T* gradients = static_cast<const T*>(args.output_gradient) + out;
  T* to = static_cast<T*>(args.input_gradient) + in;
  for (int row = 0; row < args.height; ++row) {
    const Range ys = holders(row, args.stride_height, args.padding_top, args.kernel_height, args.output_height);
    for (int column = 0; column < args.width; ++column) {
      const Range xs = holders(column, args.stride_width, args.padding_left, args.kernel_width, args.output_width);
      Floats<width> sum{};
      for (int y = ys.first; y < ys.end; ++y) {
        const Range rows = window(y, args.stride_height, args.padding_top, args.kernel_height, args.height);
        for (int x = xs.first; x < xs.end; ++x) {
          const Range columns = window(x, args.stride_width, args.padding_left, args.kernel_width, args.width);
          const int count = (rows.end - rows.first) * (columns.end - columns.first);
          const std::int64_t at = (std::int64_t{y} * args.output_width + x) * args.block;
          sum += load<width, full>(gradients + at, lanes) * (1.0F / static_cast<float>(count));
        }
      }
      store<width, full>(to + (std::int64_t{row} * args.width + column) * args.block, sum, lanes);
    }
  }
}

// Zeroes the input gradient's padding channels where the output has none.
template <typename T>
void zero_padding(const PoolArgs& args, std::int64_t in, int lanes) {
  T* plane = static_cast<T*>(args.input_gradient) + in;
  for (std::int64_t pixel = 0; pixel < std::int64_t{args.height} * args.width; ++pixel) {
    for (int lane = lanes; lane < args.block; ++lane) plane[pixel * args.block + lane] = T{};
  }
}

template <typename T, typename Body>
CONVOY_INLINE void for_pieces_of_type(const PoolArgs& args, const Body& body) {
  const std::int64_t input_plane = std::int64_t{args.height} * args.width * args.block;
  const std::int64_t output_plane = std::int64_t{args.output_height} * args.output_width * args.block;
  const bool padded = args.output_sample != args.channels;
  const int planes = args.samples * args.blocks;
#pragma omp parallel for schedule(static) num_threads(args.threads)
  for (int plane = 0; plane < planes; ++plane) {
    const int block = plane % args.blocks;
    const int lanes = padded ? args.block : smaller(args.block, args.channels - block * args.block);
    const std::int64_t in = plane * input_plane;
    const std::int64_t out = plane / args.blocks * args.output_sample + block * output_plane;
    for_lane_groups(lanes, [&]<int width, bool full>(int lane, int group) {
      body.template operator()<width, full, T>(in + lane, out + lane, group);
    });
    if (lanes < args.block && args.input_gradient != nullptr) zero_padding<T>(args, in, lanes);
  }
}

// body.operator()<width, full, T>(input offset, output offset, channels), for every piece, by all threads.
// The loop is a function of its own: clang 14 takes an OpenMP loop's captures inside a generic lambda for an error.
template <typename Body>
CONVOY_INLINE void for_pieces(const PoolArgs& args, const Body& body) {
  with_type(args.type, [&]<typename T>() { for_pieces_of_type<T>(args, body); });
}

void max_forward(const PoolArgs& args) {
  for_pieces(args, [&]<int width, bool full, typename T>(std::int64_t in, std::int64_t out, int lanes) {
    max_forward_plane<width, full, T>(args, in, out, lanes);
  });
}

void max_backward(const PoolArgs& args) {
  for_pieces(args, [&]<int width, bool full, typename T>(std::int64_t in, std::int64_t out, int lanes) {
    max_backward_plane<width, full, T>(args, in, out, lanes);
  });
}

void average_forward(const PoolArgs& args) {
  for_pieces(args, [&]<int width, bool full, typename T>(std::int64_t in, std::int64_t out, int lanes) {
    average_forward_plane<width, full, T>(args, in, out, lanes);
  });
}

void average_backward(const PoolArgs& args) {
  for_pieces(args, [&]<int width, bool full, typename T>(std::int64_t in, std::int64_t out, int lanes) {
    average_backward_plane<width, full, T>(args, in, out, lanes);
  });
}

}  // namespace

PoolKernels pool_kernels() { return {max_forward, max_backward, average_forward, average_backward}; }

}  // namespace convoy::cpu::CONVOY_ISA
