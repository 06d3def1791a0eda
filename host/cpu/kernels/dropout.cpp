// Dropout: the mask of each sample is drawn in logical order (HWC) and applied where the elements lie.
#include "cpu/kernels/dropout.hpp"

#include "cpu/kernels/providers.hpp"
#include "cpu/kernels/random.hpp"
#include "cpu/kernels/vector.hpp"

namespace convoy::cpu::CONVOY_ISA {
namespace {

constexpr std::uint32_t kPurpose = 6;  // Purpose::dropout
constexpr int kDraws = 64;             // Philox draws at a time, four elements each

// factors[e] for 4 * kDraws elements: 0 or the scale.
void draw_factors(const DropoutArgs& args, std::int64_t sample, std::int64_t first_draw, float scale, float* factors) {
  RandomWords<kDraws> words;
  draw<kDraws>(args.seed, kPurpose, args.epoch, (static_cast<std::uint64_t>(sample) << 22) + first_draw, args.salt,
               &words);
  for (int i = 0; i < kDraws; ++i) {
    for (int k = 0; k < 4; ++k) {
      const float uniform = static_cast<float>(static_cast<std::int32_t>(words.word[k][i] >> 8)) * 0x1p-24F;
      factors[4 * i + k] = uniform >= args.rate ? scale : 0.0F;
    }
  }
}

template <typename T>
CONVOY_INLINE T scaled(T value, float factor) {
  if constexpr (sizeof(T) == 4) {
    return factor == 0.0F ? 0.0F : value * factor;
  } else {
    const auto narrowed = narrow<4>(splat<4>(widen(value) * factor));
    return factor == 0.0F ? T{} : narrowed[0];
  }
}

template <typename T>
void scale_run(const T* from, const float* factors, int count, T* to) {
#pragma omp simd
  for (int i = 0; i < count; ++i) to[i] = scaled(from[i], factors[i]);
}

// A sample in logical order: runs of adjacent channels, each within one block and one draw's buffer.
template <typename T>
void drop_sample(const DropoutArgs& args, int position, const T* from, T* to) {
  const float scale = 1.0F / (1.0F - args.rate);
  const std::int64_t elements = std::int64_t{args.pixels} * args.channels;
  float factors[4 * kDraws];
  std::int64_t pixel = 0;
  int channel = 0;
  for (std::int64_t first = 0; first < elements; first += 4 * kDraws) {
    draw_factors(args, args.order[position], first / 4, scale, factors);
    const int count = elements - first < 4 * kDraws ? static_cast<int>(elements - first) : 4 * kDraws;
    for (int done = 0; done < count;) {
      const int block = channel / args.block, lane = channel % args.block;
      const int in_block = args.block - lane < args.channels - channel ? args.block - lane : args.channels - channel;
      const int run = in_block < count - done ? in_block : count - done;
      const std::int64_t at = (block * std::int64_t{args.pixels} + pixel) * args.block + lane;
      scale_run(from + at, factors + done, run, to + at);
      done += run;
      channel += run;
      if (channel == args.channels) {
        channel = 0;
        ++pixel;
      }
    }
  }
  // The layout's padding channels stay zero.
  for (int padding = args.channels; padding < args.blocks * args.block; ++padding) {
    T* plane = to + std::int64_t{padding / args.block} * args.pixels * args.block + padding % args.block;
    for (int place = 0; place < args.pixels; ++place) plane[std::int64_t{place} * args.block] = T{};
  }
}

void apply(const DropoutArgs& args) {
  const std::int64_t sample_elements = std::int64_t{args.blocks} * args.block * args.pixels;
  with_type(args.type, [&]<typename T>() {
#pragma omp parallel for schedule(static) num_threads(args.threads)
    for (int position = 0; position < args.samples; ++position) {
      const T* from = static_cast<const T*>(args.input) + position * sample_elements;
      T* to = static_cast<T*>(args.output) + position * sample_elements;
      if (position < args.count) {
        drop_sample(args, position, from, to);
      } else if (to != from) {
        __builtin_memcpy(to, from, sample_elements * sizeof(T));
      }
    }
  });
}

}  // namespace

DropoutKernels dropout_kernels() { return {apply}; }

}  // namespace convoy::cpu::CONVOY_ISA
