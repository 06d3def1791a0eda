// The backward passes of what follows a convolution: the gradient before the activation and its sums in one pass,
// the normalisation's gradient, scattered to the pooled windows' maxima, in another. Layouts: kernels/epilogue.hpp.
#include "cpu/kernels/epilogue_parts.hpp"
#include "cpu/kernels/math.hpp"

namespace convoy::cpu::CONVOY_ISA {
namespace {

// Sums of g and of g * (x - mean) over a chunk: fp32 over at most a few hundred pixels, doubles beyond.
template <int width>
class GradientSums {
 public:
  void add(Floats<width> gradient, Floats<width> product, int pixels) {
    gradient_ += gradient;
    product_ += product;
    pending_ += pixels;
    if (pending_ >= kSegmentPixels / 2) flush();
  }

  void write(double* gradient, double* product, int lanes) {
    flush();
    for (int lane = 0; lane < lanes; ++lane) {
      gradient[lane] = gradient_total_[lane];
      product[lane] = product_total_[lane];
    }
  }

 private:
  void flush() {
    for (int lane = 0; lane < width; ++lane) {
      gradient_total_[lane] += static_cast<double>(gradient_[lane]);
      product_total_[lane] += static_cast<double>(product_[lane]);
    }
    gradient_ = product_ = Floats<width>{};
    pending_ = 0;
  }

  Floats<width> gradient_{}, product_{};
  double gradient_total_[width] = {}, product_total_[width] = {};
  int pending_ = 0;
};

template <int width, bool full, Activation activation, typename T>
void sum_chunk(const EpilogueArgs& args, const Chunk& chunk, int block, int lane, int lanes) {
  const int pixels = args.pooled_height * args.pooled_width;
  const int stride = args.block;
  const std::int64_t at_group = channel_offset(args, chunk.first, block, lane);
  const Floats<width> mean = load<width, full>(args.mean + at_group, lanes);
  const Floats<width> factor = load<width, full>(args.factor + at_group, lanes);
  const Floats<width> shift = load<width, full>(args.shift + std::int64_t{block} * stride + lane, lanes);
  GradientSums<width> sums;
  for (int sample = chunk.first; sample < chunk.end; ++sample) {
    const std::int64_t at = pooled_offset(args, sample, block) + lane;
    const T* x = static_cast<const T*>(args.input) + at;
    const T* source = args.source == nullptr ? nullptr : static_cast<const T*>(args.source) + at;
    T* gradients = static_cast<T*>(args.output_gradient) + at;
    const auto one_pixel = [&](int pixel, Floats<width>& sum, Floats<width>& product) {
      const std::int64_t offset = std::int64_t{pixel} * stride;
      const Floats<width> centred = load<width, full>(x + offset, lanes) - mean;
      Floats<width> gradient = load<width, full>(gradients + offset, lanes);
      if constexpr (activation != Activation::none) {
        const Floats<width> before =
            source == nullptr ? centred * factor + shift : load<width, full>(source + offset, lanes);
        gradient = times_derivative<activation, width>(gradient, before);
        if (args.keep_gradient) store<width, full>(gradients + offset, gradient, lanes);
      }
      sum += gradient;
      product += gradient * centred;
    };
    for (int first = 0; first < pixels; first += kSegmentPixels) {
      const int end = pixels - first < kSegmentPixels ? pixels : first + kSegmentPixels;
      Floats<width> sum[2] = {}, product[2] = {};
      int pixel = first;
      for (; pixel + 2 <= end; pixel += 2) {
        one_pixel(pixel, sum[0], product[0]);
        one_pixel(pixel + 1, sum[1], product[1]);
      }
      if (pixel < end) one_pixel(pixel, sum[0], product[0]);
      sums.add(sum[0] + sum[1], product[0] + product[1], end - first);
    }
  }
  double* gradient = chunk_sums(args, chunk, block) + lane;
  sums.write(gradient, gradient + std::int64_t{args.blocks} * stride, lanes);
}

void backward_sums(const EpilogueArgs& args) {
  with_type(args.type, [&]<typename T>() {
    with_activation(args.activation, [&]<Activation activation>() {
      for_chunks(args, [&](const Chunk& chunk, int block) {
        for_lane_groups(pooled_lanes(args, block), [&]<int width, bool full>(int lane, int lanes) {
          sum_chunk<width, full, activation, T>(args, chunk, block, lane, lanes);
        });
      });
    });
  });
}

// Writes a pooled pixel's gradient to the maximum's place in its window and zero to the others.
template <int width, bool full, int pool, typename T>
CONVOY_INLINE void scatter(Floats<width> gradient, const std::uint8_t* argmax, T* window, std::int64_t row_stride,
                           int run_time_pool, int stride, int lanes) {
  const int size = pool == 0 ? run_time_pool : pool;
  const Ints<width> place = load_index<width, full>(argmax, lanes);
  for (int row = 0; row < size; ++row) {
    for (int column = 0; column < size; ++column) {
      const Floats<width> value = place == row * size + column ? gradient : Floats<width>{};
      store<width, full>(window + row * row_stride + column * stride, value, lanes);
    }
  }
}

// Zeroes the input gradient's padding channels where the pooled tensors have none.
template <typename T>
void zero_padding(const EpilogueArgs& args, int sample, int block, int lanes) {
  const std::int64_t pixels = std::int64_t{args.height} * args.width;
  T* plane = static_cast<T*>(args.input_gradient) + (std::int64_t{sample} * args.blocks + block) * pixels * args.block;
  for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
    for (int lane = lanes; lane < args.block; ++lane) plane[pixel * args.block + lane] = T{};
  }
}

// Zeroes the rows and columns that no window covers.
template <int width, bool full, typename T>
void zero_uncovered(const EpilogueArgs& args, T* plane, int lanes) {
  for (int row = 0; row < args.height; ++row) {
    const bool covered = row < args.pooled_height * args.pool;
    for (int column = covered ? args.pooled_width * args.pool : 0; column < args.width; ++column) {
      store<width, full>(plane + (std::int64_t{row} * args.width + column) * args.block, Floats<width>{}, lanes);
    }
  }
}

template <int width, bool full, Activation activation, bool normalised, int pool, typename T>
void apply_plane(const EpilogueArgs& args, int sample, int block, int lane, int lanes) {
  const int pooled_pixels = args.pooled_height * args.pooled_width;
  const int stride = args.block;
  const std::int64_t plane = std::int64_t{sample} * args.blocks + block;
  const std::int64_t at = pooled_offset(args, sample, block) + lane;
  const std::int64_t at_group = channel_offset(args, sample, block, lane);
  Floats<width> mean{}, factor{}, slope{}, offset{};
  if constexpr (normalised) {
    mean = load<width, full>(args.mean + at_group, lanes);
    factor = load<width, full>(args.factor + at_group, lanes);
    slope = load<width, full>(args.slope + at_group, lanes);
    offset = load<width, full>(args.offset + at_group, lanes);
  }
  const T* x = normalised ? static_cast<const T*>(args.input) + at : nullptr;
  const T* source = activation == Activation::none ? nullptr : static_cast<const T*>(args.source) + at;
  const T* gradients = static_cast<const T*>(args.output_gradient) + at;
  T* residual = args.residual_gradient == nullptr ? nullptr : static_cast<T*>(args.residual_gradient) + at;
  const std::int64_t row_stride = std::int64_t{args.width} * stride;
  T* to = args.input_gradient == nullptr
              ? nullptr
              : static_cast<T*>(args.input_gradient) + plane * args.height * row_stride + lane;

  // Without pooling the plane is one long row.
  const int rows = pool == 1 ? 1 : args.pooled_height;
  const int columns = pool == 1 ? pooled_pixels : args.pooled_width;
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      const std::int64_t pixel = (std::int64_t{row} * columns + column) * stride;
      Floats<width> gradient = load<width, full>(gradients + pixel, lanes);
      if constexpr (activation != Activation::none) {
        gradient = times_derivative<activation, width>(gradient, load<width, full>(source + pixel, lanes));
      }
      if (residual != nullptr) store<width, full>(residual + pixel, gradient, lanes);
      if (to == nullptr) continue;
      if constexpr (normalised) {
        gradient = gradient * factor + (load<width, full>(x + pixel, lanes) - mean) * slope + offset;
      }
      if constexpr (pool == 1) {
        store<width, full>(to + pixel, gradient, lanes);
      } else {
        const std::int64_t window =
            std::int64_t{row} * args.pool * row_stride + std::int64_t{column} * args.pool * stride;
        scatter<width, full, pool>(gradient, args.argmax + at + pixel, to + window, row_stride, args.pool, stride,
                                   lanes);
      }
    }
  }
  if (pool != 1 && to != nullptr) zero_uncovered<width, full>(args, to, lanes);
}

template <Activation activation, bool normalised, typename T>
void apply_all(const EpilogueArgs& args) {
  for_planes(args, [&](int sample, int block) {
    const int pooled = pooled_lanes(args, block);
    if (pooled < args.block && args.input_gradient != nullptr) zero_padding<T>(args, sample, block, pooled);
    for_lane_groups(pooled, [&]<int width, bool full>(int lane, int lanes) {
      if (args.pool == 1) {
        apply_plane<width, full, activation, normalised, 1, T>(args, sample, block, lane, lanes);
      } else if (args.pool == 2) {
        apply_plane<width, full, activation, normalised, 2, T>(args, sample, block, lane, lanes);
      } else {
        apply_plane<width, full, activation, normalised, 0, T>(args, sample, block, lane, lanes);
      }
    });
  });
}

void backward_apply(const EpilogueArgs& args) {
  with_type(args.type, [&]<typename T>() {
    if (args.slope != nullptr) return apply_all<Activation::none, true, T>(args);
    with_activation(args.activation, [&]<Activation activation>() { apply_all<activation, false, T>(args); });
  });
}

}  // namespace

void add_epilogue_backward(EpilogueKernels* kernels) {
  kernels->backward_sums = backward_sums;
  kernels->backward_apply = backward_apply;
}

}  // namespace convoy::cpu::CONVOY_ISA
