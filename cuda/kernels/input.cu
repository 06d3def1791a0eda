// Gathers a batch's samples, moves their pixels as the augmentation or the view says, normalises and narrows them in
// one pass. One block a sample; a thread writes 16 bytes at a time, so a pack may begin in the sample before.
// The draws and the arithmetic are those of convoy/backend.hpp, to the bit.
#include "convoy/philox.hpp"
#include "kernels/input.hpp"
#include "kernels/launch.hpp"
#include "nn/check_spec.hpp"

namespace convoy::cuda {
namespace {

constexpr int kSampleThreads = 128;  // a CIFAR image in 16 bits is three packs a thread

static_assert(sizeof(StepRow) % 4 == 0 && sizeof(StepRow) / 4 <= kWarp);

__global__ void begin_step_kernel(const StepRow* rows, std::int32_t* cursor, StepRow* current) {
  const std::int32_t step = *cursor;
  __syncwarp();  // everyone has read it
  if (threadIdx.x == 0) *cursor = step + 1;
  if (threadIdx.x < sizeof(StepRow) / 4) {
    reinterpret_cast<std::uint32_t*>(current)[threadIdx.x] =
        reinterpret_cast<const std::uint32_t*>(rows + step)[threadIdx.x];
  }
}

// Where one sample's output pixels come from and how they change.
struct Motion {
  bool flip = false;
  int dy = 0, dx = 0;
  int cut_top = 0, cut_left = 0, cut_side = 0;
  float contrast = 1, shift = 0;  // pixel' = fma(pixel, contrast, shift)
};

// The draws of one sample, in the order of their purposes, so that one warp makes all of them at once, a lane each.
enum Draw : int { kFlip, kTranslate, kCutout, kColour, kDraws };
constexpr auto kFirstPurpose = static_cast<std::uint32_t>(Purpose::flip);
static_assert(kFirstPurpose + kTranslate == static_cast<std::uint32_t>(Purpose::translate));
static_assert(kFirstPurpose + kCutout == static_cast<std::uint32_t>(Purpose::cutout));
static_assert(kFirstPurpose + kColour == static_cast<std::uint32_t>(Purpose::colour));

__device__ Random4 draw(int which, const Augmentation& augmentation, const StepRow& row, std::uint64_t sample) {
  const bool is_for_every_epoch = which == kFlip && augmentation.flip == Flip::alternating;
  return random_bits(row.seed, static_cast<Purpose>(kFirstPurpose + static_cast<std::uint32_t>(which)),
                     is_for_every_epoch ? 0 : static_cast<std::uint32_t>(row.epoch), sample);
}

__device__ Motion motion_of(const Augmentation& augmentation, const Extent& image, std::uint32_t epoch,
                            const Random4* draws) {
  Motion motion;
  if (augmentation.flip != Flip::none) {
    const std::uint32_t swaps = augmentation.flip == Flip::alternating ? epoch & 1u : 0u;
    motion.flip = ((draws[kFlip].x & 1u) ^ swaps) != 0;
  }
  if (augmentation.translate > 0) {
    const auto choices = static_cast<std::uint32_t>(2 * augmentation.translate + 1);
    motion.dx = static_cast<int>(below(draws[kTranslate].x, choices)) - augmentation.translate;
    motion.dy = static_cast<int>(below(draws[kTranslate].y, choices)) - augmentation.translate;
  }
  if (augmentation.cutout > 0) {
    const Random4& bits = draws[kCutout];
    motion.cut_side = augmentation.cutout;
    motion.cut_left = static_cast<int>(below(bits.x, static_cast<std::uint32_t>(image.width))) - motion.cut_side / 2;
    motion.cut_top = static_cast<int>(below(bits.y, static_cast<std::uint32_t>(image.height))) - motion.cut_side / 2;
  }
  if (augmentation.brightness != 0 || augmentation.contrast != 0) {
    const Random4& bits = draws[kColour];
    const float brightness = __fmul_rn(augmentation.brightness, __fmaf_rn(2.0F, uniform(bits.y), -1.0F));
    motion.contrast = __fmaf_rn(augmentation.contrast, __fmaf_rn(2.0F, uniform(bits.x), -1.0F), 1.0F);
    motion.shift = __fmaf_rn(255.0F, brightness, __fmaf_rn(-127.5F, motion.contrast, 127.5F));
  }
  return motion;
}

__device__ Motion view_motion(const View& view) {
  Motion motion;
  motion.flip = view.mirror;
  motion.dy = view.dy;
  motion.dx = view.dx;
  return motion;
}

// The edge pixel is not repeated: -1 is 1, size is size - 2.
__device__ int reflect(int i, int size) { return size - 1 - abs(size - 1 - abs(i)); }

__device__ bool is_cut(const Motion& motion, int y, int x) {
  const auto side = static_cast<unsigned>(motion.cut_side);
  return static_cast<unsigned>(y - motion.cut_top) < side && static_cast<unsigned>(x - motion.cut_left) < side;
}

template <typename T, int channels>
__global__ void __launch_bounds__(kSampleThreads) prepare_input_kernel(const InputArgs args) {
  constexpr int kCount = Pack<T>::kCount;
  __shared__ Random4 draws[kDraws];
  const StepRow& row = *args.row;
  const int position = static_cast<int>(blockIdx.x);
  const int height = args.input.height, width = args.input.width, elements = height * width * channels;
  const bool is_padding = position >= row.count;

  const std::uint8_t* image = nullptr;
  Motion motion;
  if (!is_padding) {
    const std::int64_t sample = args.source.order[row.first + position];
    const std::int64_t image_bytes = std::int64_t{height} * width * args.image.channels;
    image = args.source.images + (args.source.staged ? position : sample) * image_bytes;
    if (args.mode == Mode::evaluate) {
      motion = view_motion(args.view);
    } else {
      const int lane = static_cast<int>(threadIdx.x);
      if (lane < kDraws) draws[lane] = draw(lane, args.augmentation, row, static_cast<std::uint64_t>(sample));
      __syncthreads();
      motion = motion_of(args.augmentation, args.image, static_cast<std::uint32_t>(row.epoch), draws);
    }
  }

  const auto value_at = [&](int y, int x, int c) {
    const int from =
        reflect(y + motion.dy, height) * width + reflect((motion.flip ? width - 1 - x : x) + motion.dx, width);
    const auto pixel = static_cast<float>(args.image.channels == 1 ? image[from] : image[from * channels + c]);
    const float value = __fmaf_rn(__fmaf_rn(pixel, motion.contrast, motion.shift), args.scale[c], args.offset[c]);
    return is_cut(motion, y, x) ? 0.0F : value;
  };

  T* const output = static_cast<T*>(args.output);
  const std::int64_t begin = std::int64_t{position} * elements;
  for (std::int64_t pack = begin / kCount + threadIdx.x; pack * kCount < begin + elements; pack += kSampleThreads) {
    const int first = static_cast<int>(pack * kCount - begin);  // the sample's element; below 0 in the sample before
    const int last = min(first + kCount, elements);
    const int start = max(first, 0);
    int c = start % channels, x = start / channels % width, y = start / channels / width;
    Pack<T> values;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      values.values[i] = T(0.0F);
      const int element = first + i;
      if (is_padding || element < 0 || element >= last) continue;
      values.values[i] = from_float<T>(value_at(y, x, c));
      if (++c < channels) continue;
      c = 0;
      if (++x < width) continue;
      x = 0;
      ++y;
    }
    if (first >= 0 && first + kCount <= elements) {
      reinterpret_cast<Pack<T>*>(output)[pack] = values;
      continue;
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (first + i >= 0 && first + i < last) output[begin + first + i] = values.values[i];
    }
  }
}

}  // namespace

void begin_step(const StepRow* rows, std::int32_t* cursor, StepRow* current, cudaStream_t stream) {
  begin_step_kernel<<<1, kWarp, 0, stream>>>(rows, cursor, current);
  CHECK_CUDA(cudaGetLastError());
}

void prepare_input(const InputArgs& args, DType type, cudaStream_t stream) {
  check(args);
  if (args.rows == 0) return;
  dispatch(type, [&]<typename T>() {
    const auto kernel = args.input.channels == 1 ? prepare_input_kernel<T, 1> : prepare_input_kernel<T, 3>;
    kernel<<<static_cast<unsigned>(args.rows), kSampleThreads, 0, stream>>>(args);
  });
  CHECK_CUDA(cudaGetLastError());
}

}  // namespace convoy::cuda
