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

// Whether the cut-out covers an output pixel.
__device__ bool covers(const Motion& motion, int y, int x) {
  const auto side = static_cast<unsigned>(motion.cut_side);
  return static_cast<unsigned>(y - motion.cut_top) < side && static_cast<unsigned>(x - motion.cut_left) < side;
}

// values[index], kept in registers.
template <typename T, int count>
__device__ T pick(const T (&values)[count], int index) {
  T picked = values[0];
#pragma unroll
  for (int i = 1; i < count; ++i) picked = index == i ? values[i] : picked;
  return picked;
}

// What is the same for every pack of a sample.
template <int channels>
struct Sample {
  const std::uint8_t* image;
  int height, width;
  bool is_grey;  // of the data: one channel, repeated
  Motion motion;
  float scale[channels], offset[channels];
};

// Elements [first, first + kCount) of a sample's output. Those before its first element or behind its last are some
// other's.
template <typename T, int channels>
__device__ Pack<T> pack_at(const Sample<channels>& sample, int first) {
  constexpr int kCount = Pack<T>::kCount;
  constexpr int kPixels = (kCount + channels - 2) / channels + 1;  // that a pack touches at most
  const int first_channel = (first % channels + channels) % channels;
  const int first_pixel = (first - first_channel) / channels;

  int pixels[kPixels];  // of the image
  bool is_cut[kPixels];
  int y = max(first_pixel, 0) / sample.width, x = max(first_pixel, 0) % sample.width;
  const Motion& motion = sample.motion;
#pragma unroll
  for (int p = 0; p < kPixels; ++p) {
    const int from_y = reflect(min(y, sample.height - 1) + motion.dy, sample.height);
    const int from_x = reflect((motion.flip ? sample.width - 1 - x : x) + motion.dx, sample.width);
    pixels[p] = (from_y * sample.width + from_x) * (sample.is_grey ? 1 : channels);
    is_cut[p] = covers(motion, y, x);
    if (first_pixel + p >= 0 && ++x == sample.width) {
      x = 0;
      ++y;
    }
  }
  float scale[channels], offset[channels];  // from first_channel on
#pragma unroll
  for (int c = 0; c < channels; ++c) {
    scale[c] = pick(sample.scale, (first_channel + c) % channels);
    offset[c] = pick(sample.offset, (first_channel + c) % channels);
  }

  Pack<T> pack;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    // The pixel follows from first_channel, but for one of two neighbours from i alone.
    const int low = i / channels, high = (i + channels - 1) / channels;
    const bool is_high = first_channel + i >= channels * high;
    const int channel = first_channel + i - channels * (is_high ? high : low);
    const int byte = (is_high ? pixels[high] : pixels[low]) + (sample.is_grey ? 0 : channel);
    const float value = __fmaf_rn(static_cast<float>(sample.image[byte]), motion.contrast, motion.shift);
    const float normal = __fmaf_rn(value, scale[i % channels], offset[i % channels]);
    pack.values[i] = from_float<T>((is_high ? is_cut[high] : is_cut[low]) ? 0.0F : normal);
  }
  return pack;
}

template <typename T, int channels>
__global__ void __launch_bounds__(kSampleThreads) prepare_input_kernel(const InputArgs args) {
  __shared__ Random4 draws[kDraws];
  const StepRow& row = *args.row;
  const int position = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  const bool is_padding = position >= row.count;
  Sample<channels> sample;
  sample.height = args.input.height;
  sample.width = args.input.width;
  const int elements = sample.height * sample.width * channels;
  if (!is_padding) {
    const std::int64_t number = args.source.order[row.first + position];
    const std::int64_t image_bytes = std::int64_t{sample.height} * sample.width * args.image.channels;
    sample.image = args.source.images + (args.source.staged ? position : number) * image_bytes;
    sample.is_grey = args.image.channels == 1;
#pragma unroll
    for (int c = 0; c < channels; ++c) {
      sample.scale[c] = args.scale[c];
      sample.offset[c] = args.offset[c];
    }
    if (args.mode == Mode::evaluate) {
      sample.motion = view_motion(args.view);
    } else {
      if (thread < kDraws) draws[thread] = draw(thread, args.augmentation, row, static_cast<std::uint64_t>(number));
      __syncthreads();
      sample.motion = motion_of(args.augmentation, args.image, static_cast<std::uint32_t>(row.epoch), draws);
    }
  }

  constexpr int kCount = Pack<T>::kCount;
  T* const output = static_cast<T*>(args.output);
  const std::int64_t begin = std::int64_t{position} * elements;
  for (std::int64_t index = begin / kCount + thread; index * kCount < begin + elements; index += kSampleThreads) {
    const int first = static_cast<int>(index * kCount - begin);  // below 0 where the pack begins in the sample before
    Pack<T> pack;
    if (is_padding) {
#pragma unroll
      for (T& value : pack.values) value = T(0.0F);
    } else {
      pack = pack_at<T>(sample, first);
    }
    if (first >= 0 && first + kCount <= elements) {
      reinterpret_cast<Pack<T>*>(output)[index] = pack;
      continue;
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (first + i >= 0 && first + i < elements) output[begin + first + i] = pack.values[i];
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
