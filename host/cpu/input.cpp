// Gathers a batch's samples, moves their pixels as the augmentation or the view says, and converts them.
// The draws and the arithmetic are those of convoy/backend.hpp, to the bit.
#include "cpu/input.hpp"

#include <algorithm>
#include <cmath>

#include "convoy/error.hpp"
#include "convoy/philox.hpp"
#include "cpu/parts.hpp"
#include "nn/check_spec.hpp"

namespace convoy::cpu {
namespace {

constexpr int kSegment = 128;  // pixels gathered at a time, on the stack
constexpr int kMaxChannels = 3;

// Where one sample's output pixels come from and how they change.
struct Motion {
  bool flip = false;
  int dy = 0, dx = 0;
  int cut_top = 0, cut_left = 0, cut_side = 0;
  float contrast = 1, shift = 0;  // pixel' = fma(pixel, contrast, shift)
};

Motion draw_motion(const Augmentation& augmentation, const Extent& image, const StepRow& row, std::uint64_t sample) {
  Motion motion;
  const auto epoch = static_cast<std::uint32_t>(row.epoch);
  if (augmentation.flip != Flip::none) {
    const bool alternating = augmentation.flip == Flip::alternating;
    const std::uint32_t coin = random_bits(row.seed, Purpose::flip, alternating ? 0 : epoch, sample).x & 1u;
    motion.flip = (coin ^ (alternating ? epoch & 1u : 0u)) != 0;
  }
  if (augmentation.translate > 0) {
    const Random4 bits = random_bits(row.seed, Purpose::translate, epoch, sample);
    const auto choices = static_cast<std::uint32_t>(2 * augmentation.translate + 1);
    motion.dx = static_cast<int>(below(bits.x, choices)) - augmentation.translate;
    motion.dy = static_cast<int>(below(bits.y, choices)) - augmentation.translate;
  }
  if (augmentation.cutout > 0) {
    const Random4 bits = random_bits(row.seed, Purpose::cutout, epoch, sample);
    motion.cut_side = augmentation.cutout;
    motion.cut_left = static_cast<int>(below(bits.x, static_cast<std::uint32_t>(image.width))) - motion.cut_side / 2;
    motion.cut_top = static_cast<int>(below(bits.y, static_cast<std::uint32_t>(image.height))) - motion.cut_side / 2;
  }
  if (augmentation.brightness != 0 || augmentation.contrast != 0) {
    const Random4 bits = random_bits(row.seed, Purpose::colour, epoch, sample);
    const float brightness = augmentation.brightness * std::fma(2.0F, uniform(bits.y), -1.0F);
    motion.contrast = std::fma(augmentation.contrast, std::fma(2.0F, uniform(bits.x), -1.0F), 1.0F);
    motion.shift = std::fma(255.0F, brightness, std::fma(-127.5F, motion.contrast, 127.5F));
  }
  return motion;
}

Motion view_motion(const View& view) {
  Motion motion;
  motion.flip = view.mirror;
  motion.dy = view.dy;
  motion.dx = view.dx;
  return motion;
}

// The edge pixel is not repeated: -1 is 1, size is size - 2.
int reflect(int i, int size) {
  if (i < 0) return -i;
  return i < size ? i : 2 * (size - 1) - i;
}

// Pixels x0 .. x0 + count of an output row, each channel apart: bytes [channels, kSegment].
template <int channels>
void gather(const std::uint8_t* image_row, int width, const Motion& motion, int x0, int count, std::uint8_t* bytes) {
  const auto take = [&](int x, const std::uint8_t* pixel) {
    for (int c = 0; c < channels; ++c) bytes[c * kSegment + x] = pixel[c];
  };
  if (!motion.flip && x0 + motion.dx >= 0 && x0 + count + motion.dx <= width) {
    const std::uint8_t* first = image_row + (x0 + motion.dx) * channels;
    for (int x = 0; x < count; ++x) take(x, first + x * channels);
    return;
  }
  for (int x = 0; x < count; ++x) {
    const int from = reflect((motion.flip ? width - 1 - (x0 + x) : x0 + x) + motion.dx, width);
    take(x, image_row + from * channels);
  }
}

// What all samples of a batch share.
struct Conversion {
  const InputKernels& kernels;
  Extent image;
  Layout layout;
  const float* scale;  // [layout.channels]
  const float* offset;
};

void convert(const Conversion& with, const Motion& motion, const std::uint8_t* bytes, int count, int c, float* out) {
  with.kernels.pixels_to_f32(bytes, count, motion.contrast, motion.shift, with.scale[c], with.offset[c], out);
}

void convert(const Conversion& with, const Motion& motion, const std::uint8_t* bytes, int count, int c,
             std::uint16_t* out) {
  with.kernels.pixels_to_bf16(bytes, count, motion.contrast, motion.shift, with.scale[c], with.offset[c], out);
}

// Element (y, x, c) of a sample in the backend's layout.
std::int64_t element_at(const Layout& layout, int y, int x, int c) {
  const std::int64_t pixel = (std::int64_t{c / layout.block} * layout.height + y) * layout.width + x;
  return pixel * layout.block + c % layout.block;
}

template <typename T>
void cut_out(const Layout& layout, const Motion& motion, T* out) {
  const int bottom = std::min(layout.height, motion.cut_top + motion.cut_side);
  const int right = std::min(layout.width, motion.cut_left + motion.cut_side);
  for (int y = std::max(0, motion.cut_top); y < bottom; ++y) {
    for (int x = std::max(0, motion.cut_left); x < right; ++x) {
      for (int c = 0; c < layout.channels; ++c) out[element_at(layout, y, x, c)] = T{};
    }
  }
}

// Pixels x0 .. x0 + count of row y of every channel; grey repeated.
template <typename T>
void write_segment(const Conversion& with, const Motion& motion, const std::uint8_t* bytes, int y, int x0, int count,
                   T* out) {
  const Layout& layout = with.layout;
  for (int c = 0; c < layout.channels; ++c) {
    const std::uint8_t* channel = bytes + (with.image.channels == 1 ? 0 : c) * kSegment;
    T* to = out + element_at(layout, y, x0, c);
    if (layout.block == 1) {
      convert(with, motion, channel, count, c, to);
      continue;
    }
    T values[kSegment];
    convert(with, motion, channel, count, c, values);
    for (int x = 0; x < count; ++x) to[x * layout.block] = values[x];
  }
}

template <typename T>
void prepare_sample(const Conversion& with, const Motion& motion, const std::uint8_t* image, T* out) {
  const Layout& layout = with.layout;
  if (layout.blocks * layout.block > layout.channels) std::fill_n(out, layout.sample_elements(), T{});  // the padding
  for (int y = 0; y < layout.height; ++y) {
    const std::int64_t row_bytes = std::int64_t{with.image.width} * with.image.channels;
    const std::uint8_t* image_row = image + reflect(y + motion.dy, with.image.height) * row_bytes;
    for (int x0 = 0; x0 < layout.width; x0 += kSegment) {
      const int count = std::min(kSegment, layout.width - x0);
      std::uint8_t bytes[kSegment * kMaxChannels];
      if (with.image.channels == 1) {
        gather<1>(image_row, with.image.width, motion, x0, count, bytes);
      } else {
        gather<kMaxChannels>(image_row, with.image.width, motion, x0, count, bytes);
      }
      write_segment(with, motion, bytes, y, x0, count, out);
    }
  }
  cut_out(layout, motion, out);
}

template <typename T>
void prepare_batch(const InputArgs& args, const Conversion& with, int threads) {
  const std::int64_t elements = with.layout.sample_elements();
  const std::int64_t image_bytes = args.image.elements();
  const StepRow row = *args.row;
  const Motion view = view_motion(args.view);
#pragma omp parallel for schedule(static) num_threads(useful_threads(args.rows* elements, threads))
  for (int position = 0; position < args.rows; ++position) {
    T* out = static_cast<T*>(args.output) + position * elements;
    if (position >= row.count) {
      std::fill_n(out, elements, T{});
      continue;
    }
    const std::int64_t sample = args.source.order[row.first + position];
    const std::uint8_t* image = args.source.images + (args.source.staged ? position : sample) * image_bytes;
    const Motion motion = args.mode == Mode::train
                              ? draw_motion(args.augmentation, args.image, row, static_cast<std::uint64_t>(sample))
                              : view;
    prepare_sample(with, motion, image, out);
  }
}

}  // namespace

void prepare_input(const InputArgs& args, const Context& context) {
  CONVOY_CHECK(context.compute != DType::f16, "input: the CPU backend computes in fp32 or bf16, not fp16");
  check(args);
  const Conversion with{.kernels = context.kernels->input,
                        .image = args.image,
                        .layout = context.layout(args.input),
                        .scale = args.scale,
                        .offset = args.offset};
  if (context.compute == DType::f32) {
    prepare_batch<float>(args, with, context.threads);
  } else {
    prepare_batch<std::uint16_t>(args, with, context.threads);
  }
}

}  // namespace convoy::cpu
