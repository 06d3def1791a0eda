// What the tests of the CPU's hot loops share: contexts, activations in the backend's layouts, and a test for every
// instruction set that this processor can run.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "cpu/operations.hpp"

namespace convoy::cpu {

inline Context context_for(const Kernels& kernels, int native_block, int threads, DType type = DType::f32) {
  Context context;
  context.compute = type;
  context.native_block = native_block;
  context.threads = threads;
  context.kernels = &kernels;
  return context;
}

inline std::uint16_t to_bf16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

inline float from_bf16(std::uint16_t value) {
  const std::uint32_t bits = std::uint32_t{value} << 16;
  float result;
  std::memcpy(&result, &bits, 4);
  return result;
}

// An activation in the backend's layout and type, filled with `rubbish` where nothing was written.
struct Tensor {
  Layout layout;
  Extent extent;
  int batch;
  DType type;
  std::vector<std::byte> bytes;

  Tensor(const Context& context, int batch_, const Extent& extent_)
      : layout(context.layout(extent_)),
        extent(extent_),
        batch(batch_),
        type(context.compute),
        bytes(layout.sample_elements() * batch_ * bytes_per_element(context.compute), std::byte{0x7F}) {}

  std::size_t place(int sample, int y, int x, int channel) const {
    return sample * layout.sample_elements() +
           ((channel / layout.block * layout.height + y) * std::size_t(layout.width) + x) * layout.block +
           channel % layout.block;
  }
  float get(std::size_t at) const {
    if (type == DType::f32) return reinterpret_cast<const float*>(bytes.data())[at];
    return from_bf16(reinterpret_cast<const std::uint16_t*>(bytes.data())[at]);
  }
  void set(std::size_t at, float value) {
    if (type == DType::f32) {
      reinterpret_cast<float*>(bytes.data())[at] = value;
    } else {
      reinterpret_cast<std::uint16_t*>(bytes.data())[at] = to_bf16(value);
    }
  }
  // Values in NHWC order; the padding channels become zero.
  void fill(const std::vector<float>& values) {
    std::fill(bytes.begin(), bytes.end(), std::byte{0});
    each([&](std::size_t nhwc, std::size_t at) { set(at, values[nhwc]); });
  }
  std::vector<double> values() const {
    std::vector<double> result(batch * extent.elements());
    each([&](std::size_t nhwc, std::size_t at) { result[nhwc] = get(at); });
    return result;
  }
  template <typename Body>
  void each(Body body) const {
    std::size_t nhwc = 0;
    for (int n = 0; n < batch; ++n)
      for (int y = 0; y < extent.height; ++y)
        for (int x = 0; x < extent.width; ++x)
          for (int c = 0; c < extent.channels; ++c) body(nhwc++, place(n, y, x, c));
  }
  bool padding_is_zero() const {
    for (int n = 0; n < batch; ++n)
      for (int y = 0; y < extent.height; ++y)
        for (int x = 0; x < extent.width; ++x)
          for (int c = extent.channels; c < layout.blocks * layout.block; ++c)
            if (get(place(n, y, x, c)) != 0) return false;
    return true;
  }
};

inline std::vector<float> random_values(std::size_t count, unsigned seed, float mean = 0, float deviation = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(mean, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = from_bf16(to_bf16(normal(generator)));  // exact in either storage type
  return values;
}

inline void expect_near(const std::vector<double>& found, const std::vector<double>& expected, double tolerance,
                        const char* what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  double largest = 1e-30;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_LE(std::abs(found[i] - expected[i]), tolerance * largest)
        << what << " at " << i << ": found " << found[i] << ", expected " << expected[i];
  }
}

inline EpilogueSpec spec_of(Extent input, int pool, bool normalise, bool residual, Activation activation,
                            int group = 0) {
  EpilogueSpec spec;
  spec.input = input;
  spec.output = {input.height / pool, input.width / pool, input.channels};
  spec.pool = pool;
  spec.normalise = normalise;
  spec.residual = residual;
  spec.activation = activation;
  spec.group_size = group;
  return spec;
}

// A test for every instruction set.
class CpuKernels : public testing::TestWithParam<int> {
 protected:
  const Kernels& kernels() const { return runnable_kernels()[GetParam()]; }
};

}  // namespace convoy::cpu
