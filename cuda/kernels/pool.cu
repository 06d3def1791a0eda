// See pool.hpp. Threads lie along the channels, 16 bytes each where these divide so, then along the pixels. Backward
// writes every pixel once: where windows overlap a pixel gathers what the windows that hold it hand back, so that
// nothing is zeroed and each sum is rounded once; where they do not, each window writes its own pixels and those up to
// the next window, so that its gradient is read once.
#include "kernels/access.hpp"
#include "kernels/pool.hpp"

namespace convoy::cuda {
namespace {

struct Range {
  int first, end;
};

// The pixels of one axis that a window holds.
__device__ inline Range window(int place, int stride, int padding, int kernel, int size) {
  const int first = place * stride - padding;
  return {max(first, 0), min(first + kernel, size)};
}

// The windows of one axis that hold a pixel.
__device__ inline Range holders(int pixel, int stride, int padding, int kernel, int windows) {
  const int last = pixel + padding;
  const int before = last - kernel + 1;
  return {before <= 0 ? 0 : (before + stride - 1) / stride, min(last / stride + 1, windows)};
}

// The pixels of one axis that a window writes where windows do not overlap: up to the next window's first.
__device__ inline Range own_pixels(int place, int stride, int padding, int windows, int size) {
  return {place == 0 ? 0 : place * stride - padding, place == windows - 1 ? size : (place + 1) * stride - padding};
}

// One thread's channels of one pixel of a tensor [samples, height, width, channels].
struct Place {
  int sample, row, column, channel;
  __device__ std::int64_t element(int height, int width, int channels) const {
    return ((std::int64_t{sample} * height + row) * width + column) * channels + channel;
  }
};

// Calls body(place) for every place of a tensor of so many pixels, by all threads of the grid.
template <int kCount, typename Body>
__device__ inline void for_places(const PoolArgs& args, int height, int width, const Body& body) {
  const unsigned accesses = args.channels / kCount, rows = height, columns = width;
  const unsigned all = args.samples * rows * columns * accesses, stride = gridDim.x * blockDim.x;
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < all; i += stride) {
    const unsigned pixel = i / accesses, line = pixel / columns, sample = line / rows;
    body(Place{static_cast<int>(sample), static_cast<int>(line - sample * rows),
               static_cast<int>(pixel - line * columns), static_cast<int>(i - pixel * accesses) * kCount});
  }
}

template <typename T, int kCount>
__device__ inline void load(const void* tensor, std::int64_t element, float (&values)[kCount]) {
  widen(read<T, kCount>(tensor, element), values);
}

__host__ __device__ inline bool has_small_places(const PoolArgs& args) {
  return args.kernel_height * args.kernel_width <= 256;
}

template <typename Integer, int kCount>
__device__ inline void load_places_as(const void* places, std::int64_t element, int (&values)[kCount]) {
  const auto narrow = read_places<Integer, kCount>(places, element);
#pragma unroll
  for (int i = 0; i < kCount; ++i) values[i] = narrow.values[i];
}

template <int kCount>
__device__ inline void load_places(const PoolArgs& args, std::int64_t element, int (&values)[kCount]) {
  has_small_places(args) ? load_places_as<std::uint8_t>(args.argmax, element, values)
                         : load_places_as<std::uint16_t>(args.argmax, element, values);
}

// Ties go to the first position in row-major order; a NaN wins, as in PyTorch.
template <typename T, int kCount>
__device__ inline void max_window(const PoolArgs& args, const Place& at, Range rows, Range columns,
                                  float (&best)[kCount]) {
  const int corner = (at.row * args.stride_height - args.padding_top) * args.kernel_width +
                     at.column * args.stride_width - args.padding_left;
  int places[kCount];
  bool is_first = true;
  for (int row = rows.first; row < rows.end; ++row) {
    for (int column = columns.first; column < columns.end; ++column) {
      float values[kCount];
      load<T>(args.input, Place{at.sample, row, column, at.channel}.element(args.height, args.width, args.channels),
              values);
      const int place = row * args.kernel_width + column - corner;
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        const bool wins = is_first || values[i] > best[i] || values[i] != values[i];
        best[i] = wins ? values[i] : best[i];
        places[i] = wins ? place : places[i];
      }
      is_first = false;
    }
  }
  if (args.argmax == nullptr) return;
  const std::int64_t element = at.element(args.output_height, args.output_width, args.channels);
  has_small_places(args) ? write_places<std::uint8_t>(args.argmax, element, places)
                         : write_places<std::uint16_t>(args.argmax, element, places);
}

template <typename T, int kCount>
__device__ inline void average_window(const PoolArgs& args, const Place& at, Range rows, Range columns,
                                      float (&average)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) average[i] = 0;
  for (int row = rows.first; row < rows.end; ++row) {
    float sum[kCount] = {};
    for (int column = columns.first; column < columns.end; ++column) {
      float values[kCount];
      load<T>(args.input, Place{at.sample, row, column, at.channel}.element(args.height, args.width, args.channels),
              values);
#pragma unroll
      for (int i = 0; i < kCount; ++i) sum[i] += values[i];
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) average[i] += sum[i];
  }
  const auto count = static_cast<float>((rows.end - rows.first) * (columns.end - columns.first));
#pragma unroll
  for (int i = 0; i < kCount; ++i) average[i] /= count;
}

template <typename T, int kCount>
__global__ void __launch_bounds__(kThreads, 2) forward_kernel(const PoolArgs args) {
  for_places<kCount>(args, args.output_height, args.output_width, [&](const Place& at) {
    const Range rows = window(at.row, args.stride_height, args.padding_top, args.kernel_height, args.height);
    const Range columns = window(at.column, args.stride_width, args.padding_left, args.kernel_width, args.width);
    float result[kCount];
    args.kind == PoolSpec::Kind::max ? max_window<T>(args, at, rows, columns, result)
                                     : average_window<T>(args, at, rows, columns, result);
    write<T>(args.output, at.element(args.output_height, args.output_width, args.channels), result);
  });
}

// What the window at (y, x) hands back to each of its pixels: to all alike, or to the pixel at places[i].
template <typename T, int kCount>
__device__ inline void handed_back(const PoolArgs& args, const Place& output, float (&gradient)[kCount],
                                   int (&places)[kCount]) {
  const std::int64_t element = output.element(args.output_height, args.output_width, args.channels);
  load<T>(args.output_gradient, element, gradient);
  if (args.kind == PoolSpec::Kind::max) return load_places(args, element, places);
  const Range rows = window(output.row, args.stride_height, args.padding_top, args.kernel_height, args.height);
  const Range columns = window(output.column, args.stride_width, args.padding_left, args.kernel_width, args.width);
  const float share = 1.0F / static_cast<float>((rows.end - rows.first) * (columns.end - columns.first));
#pragma unroll
  for (int i = 0; i < kCount; ++i) gradient[i] *= share;
}

template <typename T, int kCount>
__global__ void __launch_bounds__(kThreads, 2) gather_kernel(const PoolArgs args) {
  const bool is_max = args.kind == PoolSpec::Kind::max;
  for_places<kCount>(args, args.height, args.width, [&](const Place& at) {
    const Range ys = holders(at.row, args.stride_height, args.padding_top, args.kernel_height, args.output_height);
    const Range xs = holders(at.column, args.stride_width, args.padding_left, args.kernel_width, args.output_width);
    float sum[kCount] = {};
    for (int y = ys.first; y < ys.end; ++y) {
      const int place_row = at.row + args.padding_top - y * args.stride_height;
      for (int x = xs.first; x < xs.end; ++x) {
        const int place = place_row * args.kernel_width + at.column + args.padding_left - x * args.stride_width;
        float gradient[kCount];
        int places[kCount];
        handed_back<T>(args, {at.sample, y, x, at.channel}, gradient, places);
#pragma unroll
        for (int i = 0; i < kCount; ++i) sum[i] += !is_max || places[i] == place ? gradient[i] : 0.0F;
      }
    }
    write<T>(args.input_gradient, at.element(args.height, args.width, args.channels), sum);
  });
}

template <typename T, int kCount>
__global__ void __launch_bounds__(kThreads) scatter_kernel(const PoolArgs args) {
  const bool is_max = args.kind == PoolSpec::Kind::max;
  for_places<kCount>(args, args.output_height, args.output_width, [&](const Place& at) {
    const Range rows = own_pixels(at.row, args.stride_height, args.padding_top, args.output_height, args.height);
    const Range columns = own_pixels(at.column, args.stride_width, args.padding_left, args.output_width, args.width);
    float gradient[kCount];
    int places[kCount];
    handed_back<T>(args, at, gradient, places);
    for (int row = rows.first; row < rows.end; ++row) {
      const int y = row + args.padding_top - at.row * args.stride_height;
      for (int column = columns.first; column < columns.end; ++column) {
        const int x = column + args.padding_left - at.column * args.stride_width;
        const bool is_inside = y < args.kernel_height && x < args.kernel_width;
        const int place = y * args.kernel_width + x;
        float values[kCount];
#pragma unroll
        for (int i = 0; i < kCount; ++i) values[i] = is_inside && (!is_max || places[i] == place) ? gradient[i] : 0.0F;
        write<T>(args.input_gradient,
                 Place{at.sample, row, column, at.channel}.element(args.height, args.width, args.channels), values);
      }
    }
  });
}

// launch<T, elements per access>(blocks) for a tensor of so many elements.
template <typename Launch>
void launch_over(const PoolArgs& args, std::int64_t pixels, const Launch& launch) {
  const std::int64_t elements = args.samples * pixels * args.channels;
  dispatch(args.type, [&]<typename T>() {
    constexpr int kCount = Pack<T>::kCount;
    args.channels % kCount == 0 ? launch.template operator()<T, kCount>(blocks_for(elements / kCount))
                                : launch.template operator()<T, 1>(blocks_for(elements));
  });
  CHECK_CUDA(cudaGetLastError());
}

}  // namespace

std::size_t pool_place_bytes(const PoolArgs& args) { return has_small_places(args) ? 1 : 2; }

void pool_forward(const PoolArgs& args, cudaStream_t stream) {
  launch_over(args, std::int64_t{args.output_height} * args.output_width, [&]<typename T, int kCount>(int blocks) {
    forward_kernel<T, kCount><<<blocks, kThreads, 0, stream>>>(args);
  });
}

void pool_backward(const PoolArgs& args, cudaStream_t stream) {
  if (args.kernel_height <= args.stride_height && args.kernel_width <= args.stride_width) {
    launch_over(args, std::int64_t{args.output_height} * args.output_width, [&]<typename T, int kCount>(int blocks) {
      scatter_kernel<T, kCount><<<blocks, kThreads, 0, stream>>>(args);
    });
  } else {
    launch_over(args, std::int64_t{args.height} * args.width, [&]<typename T, int kCount>(int blocks) {
      gather_kernel<T, kCount><<<blocks, kThreads, 0, stream>>>(args);
    });
  }
}

}  // namespace convoy::cuda
