// The network's input, to the bit: against a slow implementation that pads, crops, mirrors and cuts whole pictures
// one after the other, on every backend and type, and on the CPU with every instruction set and number of threads.
// needs: oneDNN
#include "cpu/input.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "convoy/error.hpp"
#include "convoy/philox.hpp"
#include "support/cpu_contexts.hpp"
#include "support/guarded_buffer.hpp"
#include "support/operation_fixture.hpp"
#include "support/rounding.hpp"

namespace convoy {
namespace {

using test::BackendCase;
using test::cpu_contexts;
using test::from_device;
using test::GuardedBuffer;
using test::on_device;

// One channel-last picture of fp32 or uint8 values.
template <typename T>
struct Picture {
  int height, width, channels;
  std::vector<T> values;
  Picture(int h, int w, int c) : height(h), width(w), channels(c), values(static_cast<std::size_t>(h) * w * c) {}
  T& at(int y, int x, int c) { return values[(static_cast<std::size_t>(y) * width + x) * channels + c]; }
  T at(int y, int x, int c) const { return values[(static_cast<std::size_t>(y) * width + x) * channels + c]; }
};

Picture<float> pad_reflect(const Picture<float>& from, int by) {
  Picture<float> to(from.height + 2 * by, from.width + 2 * by, from.channels);
  for (int y = 0; y < to.height; ++y) {
    for (int x = 0; x < to.width; ++x) {
      for (int c = 0; c < to.channels; ++c) {
        int sy = std::abs(y - by), sx = std::abs(x - by);
        if (sy > from.height - 1) sy = 2 * (from.height - 1) - sy;
        if (sx > from.width - 1) sx = 2 * (from.width - 1) - sx;
        to.at(y, x, c) = from.at(sy, sx, c);
      }
    }
  }
  return to;
}

Picture<float> crop(const Picture<float>& from, int top, int left, int height, int width) {
  Picture<float> to(height, width, from.channels);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < to.channels; ++c) to.at(y, x, c) = from.at(top + y, left + x, c);
    }
  }
  return to;
}

Picture<float> mirror(const Picture<float>& from) {
  Picture<float> to = from;
  for (int y = 0; y < to.height; ++y) {
    for (int x = 0; x < to.width; ++x) {
      for (int c = 0; c < to.channels; ++c) to.at(y, x, c) = from.at(y, from.width - 1 - x, c);
    }
  }
  return to;
}

struct Data {
  Extent image;
  std::vector<std::uint8_t> images;
  std::vector<std::int32_t> order;
  static constexpr int kSamples = 40;

  explicit Data(const Extent& extent) : image(extent), images(kSamples * extent.elements()), order(kSamples) {
    for (std::size_t i = 0; i < images.size(); ++i) {
      images[i] = static_cast<std::uint8_t>(random_bits(77, Purpose::synthetic, 0, i).x);
    }
    std::iota(order.begin(), order.end(), 0);
    std::reverse(order.begin(), order.end());
    std::swap(order[3], order[17]);
    std::swap(order[6], order[39]);  // the very first sample, before which there is nothing to read
  }
};

const float kScale[3] = {1 / 63.7F, 1 / 61.1F, 1 / 66.4F};
const float kOffset[3] = {-1.97F, -2.01F, -1.71F};

struct Case {
  std::string name;
  Extent image{9, 12, 3};
  int input_channels = 3;
  Mode mode = Mode::train;
  Augmentation augmentation;
  View view;
  int epoch = 3;
  bool staged = false;
};

InputArgs arguments(const Case& the_case, const Data& data, const StepRow& row, int rows, void* output) {
  InputArgs args;
  args.source = {data.images.data(), nullptr, data.order.data(), the_case.staged};
  args.image = the_case.image;
  args.input = {the_case.image.height, the_case.image.width, the_case.input_channels};
  args.rows = rows;
  args.scale = kScale;
  args.offset = kOffset;
  args.mode = the_case.mode;
  args.augmentation = the_case.augmentation;
  args.view = the_case.view;
  args.output = output;
  args.row = &row;
  return args;
}

// The header's words, one operation on a whole picture after the other.
Picture<float> slow_sample(const Case& the_case, const Data& data, const StepRow& row, int position) {
  const int sample = data.order[static_cast<std::size_t>(row.first + position)];
  const auto epoch = static_cast<std::uint32_t>(row.epoch);
  const Extent& image = the_case.image;
  const int H = image.height, W = image.width;
  Picture<float> picture(H, W, the_case.input_channels);
  for (int y = 0; y < H; ++y) {
    for (int x = 0; x < W; ++x) {
      for (int c = 0; c < the_case.input_channels; ++c) {
        const std::int64_t base = (the_case.staged ? position : sample) * image.elements();
        const int from = image.channels == 1 ? 0 : c;
        picture.at(y, x, c) = data.images[static_cast<std::size_t>(base + (y * W + x) * image.channels + from)];
      }
    }
  }
  const Augmentation& a = the_case.augmentation;
  const bool is_training = the_case.mode == Mode::train;
  int dx = the_case.view.dx, dy = the_case.view.dy;
  bool is_mirrored = the_case.view.mirror;
  if (is_training) {
    const Random4 shift = random_bits(row.seed, Purpose::translate, epoch, sample);
    dx = static_cast<int>(below(shift.x, 2 * a.translate + 1)) - a.translate;
    dy = static_cast<int>(below(shift.y, 2 * a.translate + 1)) - a.translate;
    is_mirrored = false;
    if (a.flip == Flip::random) is_mirrored = random_bits(row.seed, Purpose::flip, epoch, sample).x % 2 == 1;
    if (a.flip == Flip::alternating) {
      is_mirrored = (random_bits(row.seed, Purpose::flip, 0, sample).x % 2 == 1) != (epoch % 2 == 1);
    }
  }
  const int margin = std::max({a.translate, std::abs(dx), std::abs(dy)});
  picture = crop(pad_reflect(picture, margin), margin + dy, margin + dx, H, W);
  if (is_mirrored) picture = mirror(picture);

  float contrast = 1, shift = 0;
  if (is_training && (a.brightness != 0 || a.contrast != 0)) {
    const Random4 colour = random_bits(row.seed, Purpose::colour, epoch, sample);
    contrast = std::fma(a.contrast, 2 * uniform(colour.x) - 1, 1.0F);
    const float brightness = a.brightness * (2 * uniform(colour.y) - 1);
    shift = std::fma(255.0F, brightness, std::fma(-127.5F, contrast, 127.5F));
  }
  for (int y = 0; y < H; ++y) {
    for (int x = 0; x < W; ++x) {
      for (int c = 0; c < the_case.input_channels; ++c) {
        const float pixel = std::fma(picture.at(y, x, c), contrast, shift);
        picture.at(y, x, c) = std::fma(pixel, kScale[c], kOffset[c]);
      }
    }
  }
  if (is_training && a.cutout > 0) {
    const Random4 cut = random_bits(row.seed, Purpose::cutout, epoch, sample);
    const int left = static_cast<int>(below(cut.x, W)) - a.cutout / 2;
    const int top = static_cast<int>(below(cut.y, H)) - a.cutout / 2;
    for (int y = 0; y < H; ++y) {
      for (int x = 0; x < W; ++x) {
        const bool is_cut = y >= top && y < top + a.cutout && x >= left && x < left + a.cutout;
        for (int c = 0; is_cut && c < the_case.input_channels; ++c) picture.at(y, x, c) = 0;
      }
    }
  }
  return picture;
}

// Nearest bf16, ties to even, found by comparing distances.
std::uint16_t nearest_bf16(float value) {
  const auto down = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
  const auto up = static_cast<std::uint16_t>(down + 1);
  const auto widen = [](std::uint16_t bits) {
    return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16));
  };
  const double below_it = std::abs(value - widen(down)), above_it = std::abs(widen(up) - value);
  if (below_it != above_it) return below_it < above_it ? down : up;
  return down % 2 == 0 ? down : up;
}

constexpr int kRows = 7;
constexpr float kStale = 123.0F;  // what lies in the output before

StepRow step_row(int epoch) {
  StepRow row;
  row.seed = 0x1234567890abcdefu;
  row.epoch = epoch;
  row.first = 5;
  row.count = kRows - 2;
  return row;
}

// The expected memory, in a layout [N][blocks][H][W][block] written out by its definition.
std::vector<float> expected_batch(const Case& the_case, const Data& data, const StepRow& row, int block) {
  const int H = the_case.image.height, W = the_case.image.width;
  const int blocks = (the_case.input_channels + block - 1) / block;
  std::vector<float> batch(static_cast<std::size_t>(kRows) * blocks * H * W * block, 0.0F);
  for (int n = 0; n < row.count; ++n) {
    const Picture<float> picture = slow_sample(the_case, data, row, n);
    for (int y = 0; y < H; ++y) {
      for (int x = 0; x < W; ++x) {
        for (int c = 0; c < the_case.input_channels; ++c) {
          const int index = (((n * blocks + c / block) * H + y) * W + x) * block + c % block;
          batch[static_cast<std::size_t>(index)] = picture.at(y, x, c);
        }
      }
    }
  }
  return batch;
}

int block_of(const Case& the_case, const cpu::Context& context) {
  return context.layout({the_case.image.height, the_case.image.width, the_case.input_channels}).block;
}

std::vector<Case> cases() {
  const Augmentation everything{
      .flip = Flip::alternating, .translate = 2, .cutout = 5, .brightness = 0.2F, .contrast = 0.3F};
  const Augmentation in_place{.flip = Flip::random, .brightness = 0.2F, .contrast = 0.3F};
  return {
      {.name = "plain", .augmentation = {}, .view = {}},
      {.name = "flip_random", .augmentation = {.flip = Flip::random}, .view = {}},
      {.name = "flip_alternating_odd", .augmentation = {.flip = Flip::alternating}, .view = {}, .epoch = 5},
      {.name = "flip_alternating_even", .augmentation = {.flip = Flip::alternating}, .view = {}, .epoch = 6},
      {.name = "translate", .augmentation = {.translate = 4}, .view = {}},
      {.name = "translate_as_far_as_can_be", .augmentation = {.translate = 8}, .view = {}},
      {.name = "cutout_even", .augmentation = {.cutout = 4}, .view = {}},
      {.name = "cutout_larger_than_the_picture", .augmentation = {.cutout = 30}, .view = {}},
      {.name = "colour", .augmentation = {.brightness = 0.25F, .contrast = 0.5F}, .view = {}},
      {.name = "brightness", .augmentation = {.brightness = 0.25F}, .view = {}},
      {.name = "everything", .augmentation = everything, .view = {}},
      {.name = "everything_staged", .augmentation = everything, .view = {}, .staged = true},
      {.name = "everything_grey", .image = {9, 12, 1}, .input_channels = 1, .augmentation = everything, .view = {}},
      {.name = "everything_grey_repeated", .image = {9, 12, 1}, .augmentation = everything, .view = {}},
      {.name = "everything_wide", .image = {8, 301, 3}, .augmentation = everything, .view = {}},
      {.name = "everything_odd", .image = {5, 7, 3}, .augmentation = everything, .view = {}},
      {.name = "everything_odd_grey", .image = {5, 5, 1}, .input_channels = 1, .augmentation = everything, .view = {}},
      {.name = "one_pixel", .image = {1, 1, 3}, .augmentation = in_place, .view = {}},
      {.name = "one_grey_pixel", .image = {1, 1, 1}, .input_channels = 1, .augmentation = in_place, .view = {}},
      {.name = "view_centre", .mode = Mode::evaluate, .augmentation = everything, .view = {}},
      {.name = "view_mirror", .mode = Mode::evaluate, .augmentation = everything, .view = {.mirror = true}},
      {.name = "view_up_left",
       .mode = Mode::evaluate,
       .augmentation = {},
       .view = {.mirror = false, .dy = -1, .dx = -1}},
      {.name = "view_mirror_down",
       .mode = Mode::evaluate,
       .augmentation = {},
       .view = {.mirror = true, .dy = 3, .dx = -2}},
  };
}

class Input : public ::testing::TestWithParam<Case> {};

TEST_P(Input, fp32_is_the_slow_implementations_to_the_bit_on_every_isa_and_thread_count) {
  const Data data(GetParam().image);
  const StepRow row = step_row(GetParam().epoch);
  for (const auto& [name, context] : cpu_contexts()) {
    const std::vector<float> expected = expected_batch(GetParam(), data, row, block_of(GetParam(), context));
    std::vector<float> output(expected.size(), kStale);
    cpu::prepare_input(arguments(GetParam(), data, row, kRows, output.data()), context);
    EXPECT_EQ(output, expected) << name;
  }
}

TEST_P(Input, bf16_is_the_nearest_to_fp32_ties_to_even) {
  const Data data(GetParam().image);
  const StepRow row = step_row(GetParam().epoch);
  for (const auto& [name, context] : cpu_contexts(DType::bf16)) {
    std::vector<std::uint16_t> expected;
    for (float value : expected_batch(GetParam(), data, row, block_of(GetParam(), context))) {
      expected.push_back(nearest_bf16(value));
    }
    std::vector<std::uint16_t> output(expected.size(), 0x4242);
    cpu::prepare_input(arguments(GetParam(), data, row, kRows, output.data()), context);
    EXPECT_EQ(output, expected) << name;
  }
}

// Blocks of 2 leave one channel of padding.
TEST_P(Input, blocked_channels_hold_the_same_and_pad_with_zeros) {
  const Data data(GetParam().image);
  const StepRow row = step_row(GetParam().epoch);
  for (const auto& [name, context] : cpu_contexts()) {
    for (int native_block : {2, 3, cpu::kChannelsLast}) {
      cpu::Context blocked = context;
      blocked.native_block = native_block;
      const int block = block_of(GetParam(), blocked);
      const std::vector<float> expected = expected_batch(GetParam(), data, row, block);
      std::vector<float> output(expected.size(), kStale);
      cpu::prepare_input(arguments(GetParam(), data, row, kRows, output.data()), blocked);
      EXPECT_EQ(output, expected) << name << ", blocks of " << block;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, Input, ::testing::ValuesIn(cases()), [](const auto& test) { return test.param.name; });

// Through a Backend, in its memory and type.
const BackendCase kBackends[] = {
    {"cpu", Precision::fp32, 0, "equal to the bit"},
    {"cpu", Precision::bf16, 0, "the nearest, ties to even"},
    {"cuda", Precision::fp32, 0, "equal to the bit"},
    {"cuda", Precision::bf16, 0, "the nearest, ties to even"},
    {"cuda", Precision::fp16, 0, "the nearest, ties to even"},
};

class InputOnBackend : public test::OnBackend {
 protected:
  // The batch as the network sees it, [rows,H,W,C].
  std::vector<float> run(const Case& the_case, const Data& data, const StepRow& row, int rows) {
    const Extent input{the_case.image.height, the_case.image.width, the_case.input_channels};
    const Arena images = backend->share(data.images.data(), data.images.size(), "images");  // without a margin
    const GuardedBuffer order = on_device(*backend, data.order, "order");
    const GuardedBuffer scale = on_device(*backend, std::vector<float>(kScale, kScale + 3), "scale");
    const GuardedBuffer offset = on_device(*backend, std::vector<float>(kOffset, kOffset + 3), "offset");
    const GuardedBuffer rows_of_steps = on_device(*backend, std::vector<StepRow>{row}, "row");
    const GuardedBuffer output(*backend, backend->activation_bytes(rows, input), "output");
    InputArgs args = arguments(the_case, data, row, rows, output.data());
    args.source.images = static_cast<const std::uint8_t*>(images.data());
    args.source.order = order.as<std::int32_t>();
    args.scale = scale.as<float>();
    args.offset = offset.as<float>();
    args.row = rows_of_steps.as<StepRow>();
    backend->prepare_input(args);
    std::vector<float> batch(static_cast<std::size_t>(rows * input.elements()));
    backend->unpack_activation(rows, input, output.data(), batch.data());
    output.expect_guards_intact();
    return batch;
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, InputOnBackend, testing::ValuesIn(kBackends), test::case_name);

TEST_P(InputOnBackend, every_element_is_the_nearest_to_the_slow_implementations) {
  for (const Case& the_case : cases()) {
    const Data data(the_case.image);
    for (const int count : {kRows - 2, kRows, 0}) {
      SCOPED_TRACE(the_case.name + ", samples: " + std::to_string(count));
      StepRow row = step_row(the_case.epoch);
      row.count = count;
      std::vector<float> expected = expected_batch(the_case, data, row, the_case.input_channels);
      for (float& value : expected) value = test::rounded(value, backend->compute_type());
      EXPECT_EQ(run(the_case, data, row, kRows), expected);
    }
  }
}

TEST_P(InputOnBackend, a_sample_looks_the_same_wherever_in_the_batch_it_lies) {
  Case all{.name = "",
           .augmentation = {.flip = Flip::random, .translate = 3, .cutout = 3, .brightness = 0.1F, .contrast = 0.1F},
           .view = {}};
  const Data data(all.image);
  StepRow row = step_row(1);
  row.first = 0;
  row.count = Data::kSamples;
  const std::vector<float> whole = run(all, data, row, Data::kSamples);
  const std::int64_t size = all.image.elements();
  for (const int rows : {1, 10}) {
    for (int first = 0; first < Data::kSamples; first += 10) {
      row.first = first;
      row.count = rows;
      const std::vector<float> part = run(all, data, row, rows);
      EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + first * size)) << first;
    }
  }
}

TEST_P(InputOnBackend, alternating_flips_mirror_the_whole_set_every_other_epoch) {
  Case flips{.name = "", .augmentation = {.flip = Flip::alternating}, .view = {}};
  const Data data(flips.image);
  StepRow row = step_row(0);
  row.first = 0;
  row.count = Data::kSamples;
  const std::vector<float> epoch0 = run(flips, data, row, Data::kSamples);
  row.epoch = 2;
  EXPECT_EQ(run(flips, data, row, Data::kSamples), epoch0);
  row.epoch = 1;
  const std::vector<float> epoch1 = run(flips, data, row, Data::kSamples);
  flips.mode = Mode::evaluate;
  const std::vector<float> originals = run(flips, data, row, Data::kSamples);
  const std::int64_t size = flips.image.elements();
  int flipped_first = 0;
  for (int n = 0; n < Data::kSamples; ++n) {
    const auto is_original = [&](const std::vector<float>& batch) {
      return std::equal(batch.begin() + n * size, batch.begin() + (n + 1) * size, originals.begin() + n * size);
    };
    EXPECT_NE(is_original(epoch0), is_original(epoch1)) << n;
    flipped_first += is_original(epoch0) ? 0 : 1;
  }
  EXPECT_GT(flipped_first, 8);  // of 40 fair coins: 8 or fewer has probability 1e-4
  EXPECT_LT(flipped_first, 32);
}

TEST_P(InputOnBackend, data_that_do_not_fit_the_network_are_refused) {
  const Data data({9, 12, 3});
  const StepRow row = step_row(0);
  const Case too_far{.name = "", .augmentation = {.translate = 9}, .view = {}};
  EXPECT_THROW(backend->prepare_input(arguments(too_far, data, row, kRows, nullptr)), Error);
  const Case colour_to_grey{.name = "", .input_channels = 1, .augmentation = {}, .view = {}};
  EXPECT_THROW(backend->prepare_input(arguments(colour_to_grey, data, row, kRows, nullptr)), Error);
  InputArgs larger = arguments({.name = "", .augmentation = {}, .view = {}}, data, row, kRows, nullptr);
  larger.input.height = 10;
  EXPECT_THROW(backend->prepare_input(larger), Error);
}

TEST_P(InputOnBackend, each_step_makes_the_next_row_current) {
  std::vector<StepRow> rows;
  for (int i = 0; i < 3; ++i) {
    StepRow row = step_row(i);
    row.step = 100 + i;
    for (int group = 0; group < kMaxGroups; ++group) row.learning_rates[group] = static_cast<float>(16 * i + group);
    rows.push_back(row);
  }
  const GuardedBuffer device_rows = on_device(*backend, rows, "rows");
  const GuardedBuffer cursor = on_device(*backend, std::vector<std::int32_t>{1}, "cursor");
  const GuardedBuffer current(*backend, sizeof(StepRow), "current row");
  for (int step = 1; step < 3; ++step) {
    backend->begin_step(device_rows.as<StepRow>(), cursor.as<std::int32_t>(), current.as<StepRow>());
    const StepRow found = from_device<StepRow>(*backend, current)[0];
    const StepRow& expected = rows[static_cast<std::size_t>(step)];
    EXPECT_EQ(found.seed, expected.seed);
    EXPECT_EQ(found.step, expected.step);
    EXPECT_EQ(found.epoch, expected.epoch);
    EXPECT_EQ(found.first, expected.first);
    EXPECT_EQ(found.count, expected.count);
    EXPECT_EQ(found.loss_weight, expected.loss_weight);
    EXPECT_TRUE(std::ranges::equal(found.learning_rates, expected.learning_rates));
    EXPECT_EQ(from_device<std::int32_t>(*backend, cursor)[0], step + 1);
  }
  current.expect_guards_intact();
}

}  // namespace
}  // namespace convoy
