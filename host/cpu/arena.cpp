// Arena arithmetic: divides the arrays and calls the kernels.
#include "cpu/arena.hpp"

#include <algorithm>
#include <cmath>

#include "convoy/checksum.hpp"
#include "convoy/error.hpp"
#include "cpu/parts.hpp"

namespace convoy::cpu {
namespace {

// sum_of(begin, end): of a part.
template <typename Function>
double sum_over_parts(std::size_t count, const Context& context, const Function& sum_of) {
  double sums[kParts];
  for_parts(static_cast<std::int64_t>(count), context.threads,
            [&](int part, std::int64_t begin, std::int64_t end) { sums[part] = sum_of(begin, end); });
  double sum = 0;
  for (double part : sums) sum += part;
  return sum;
}

}  // namespace

void accumulate_logits(const float* logits, float weight, bool first, std::size_t count, float* sum,
                       const Context& context) {
  const ArenaKernels& kernels = context.kernels->arena;
  for_parts(static_cast<std::int64_t>(count), context.threads, [&](int, std::int64_t begin, std::int64_t end) {
    if (first) {
      kernels.scale(sum + begin, logits + begin, weight, end - begin);
    } else {
      kernels.scale_add(sum + begin, logits + begin, weight, end - begin);
    }
  });
}

void add_gradient(int batch, const Extent& extent, void* a, const void* b, const Context& context) {
  CONVOY_CHECK(context.compute != DType::f16, "add_gradient: the CPU backend computes in fp32 or bf16, not fp16");
  const ArenaKernels& kernels = context.kernels->arena;
  const std::int64_t count = batch * context.layout(extent).sample_elements();
  for_parts(count, context.threads, [&](int, std::int64_t begin, std::int64_t end) {
    if (context.compute == DType::f32) {
      kernels.add_f32(static_cast<float*>(a) + begin, static_cast<const float*>(b) + begin, end - begin);
    } else {
      kernels.add_bf16(static_cast<std::uint16_t*>(a) + begin, static_cast<const std::uint16_t*>(b) + begin,
                       end - begin);
    }
  });
}

void add_scaled(float* a, float factor, const float* b, std::size_t count, const Context& context) {
  for_parts(static_cast<std::int64_t>(count), context.threads, [&](int, std::int64_t begin, std::int64_t end) {
    context.kernels->arena.scale_add(a + begin, b + begin, factor, end - begin);
  });
}

void scale(float* a, float factor, std::size_t count, const Context& context) {
  for_parts(static_cast<std::int64_t>(count), context.threads, [&](int, std::int64_t begin, std::int64_t end) {
    context.kernels->arena.scale(a + begin, a + begin, factor, end - begin);
  });
}

void mean_of_sums(const MeanArgs& args, const Context& context) {
  std::size_t done = 0;
  if (args.square != nullptr) {
    done = args.squared;
    *args.square = sum_over_parts(done, context, [&](std::int64_t begin, std::int64_t end) {
      return context.kernels->arena.scale_and_square(args.values + begin, args.factor, end - begin);
    });
  }
  scale(args.values + done, args.factor, args.count - done, context);
}

double sum_of_squares(const float* values, std::size_t count, const Context& context) {
  return sum_over_parts(count, context, [&](std::int64_t begin, std::int64_t end) {
    return context.kernels->arena.sum_of_squares(values + begin, end - begin);
  });
}

void clip_factor(const float* gradients, std::size_t count, float limit, float* factor, float* norm,
                 const Context& context) {
  const double length = std::sqrt(sum_of_squares(gradients, count, context));
  *norm = static_cast<float>(length);
  // A norm that is NaN leaves the gradients as they are, for the finite check to find.
  *factor = length > limit ? static_cast<float>(limit / length) : 1.0F;
}

std::uint64_t checksum(const void* data, std::size_t bytes, const Context& context) {
  const std::int64_t whole_words = static_cast<std::int64_t>(bytes / 4);
  std::uint64_t sums[kParts];
  for_parts(whole_words, context.threads, [&](int part, std::int64_t begin, std::int64_t end) {
    sums[part] = context.kernels->arena.checksum(static_cast<const std::uint32_t*>(data) + begin, end - begin,
                                                 static_cast<std::uint64_t>(begin));
  });
  std::uint64_t sum = 0;
  for (std::uint64_t part : sums) sum += part;
  const auto tail = static_cast<std::uint64_t>(whole_words);
  if (bytes % 4 != 0) sum += checksum_mix(checksum_word(data, bytes, tail), tail);
  return sum;
}

std::int64_t first_not_finite(const float* values, std::size_t count, const Context& context) {
  bool finite[kParts];
  std::int64_t begins[kParts], ends[kParts];
  for_parts(static_cast<std::int64_t>(count), context.threads, [&](int part, std::int64_t begin, std::int64_t end) {
    finite[part] = context.kernels->arena.all_finite(values + begin, end - begin);
    begins[part] = begin;
    ends[part] = end;
  });
  const auto bad = std::find(finite, finite + kParts, false) - finite;
  if (bad == kParts) return -1;
  const float* first =
      std::find_if_not(values + begins[bad], values + ends[bad], [](float v) { return std::isfinite(v); });
  return first - values;
}

}  // namespace convoy::cpu
