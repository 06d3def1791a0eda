// One picture: every kind of PNG and JPEG as pixels, broken ones as one line, and any size brought to another.
#include "data/image_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "convoy/error.hpp"
#include "data/decoders/decoders.hpp"
#include "data/orientation.hpp"
#include "data/resize.hpp"
#include "support/pictures.hpp"

namespace convoy {
namespace {

using test::ByteVector;
using test::PngColour;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

Picture decode(const ByteVector& bytes) { return decode_picture(bytes, "file"); }

std::string refusal(const ByteVector& bytes, const PictureLimits& limits = {}) {
  return test::message_of([&] { decode_picture(bytes, "file", limits); });
}

class PngFiles : public testing::Test {
 protected:
  void SetUp() override {
    if (png_library().empty()) GTEST_SKIP() << "built without libpng";
  }
};
class JpegFiles : public testing::Test {
 protected:
  void SetUp() override {
    if (jpeg_library().empty()) GTEST_SKIP() << "built without libjpeg-turbo";
  }
};

TEST_F(PngFiles, grey_and_colour_keep_their_channels_and_bytes) {
  const Picture grey = decode(test::png(3, 2, PngColour::grey, 8, {0, 1, 127, 128, 254, 255}));
  EXPECT_EQ(grey.extent, (Extent{2, 3, 1}));
  EXPECT_THAT(grey.pixels, ElementsAre(0, 1, 127, 128, 254, 255));
  const Picture colour = decode(test::png(2, 1, PngColour::rgb, 8, {1, 2, 3, 250, 251, 252}));
  EXPECT_EQ(colour.extent, (Extent{1, 2, 3}));
  EXPECT_THAT(colour.pixels, ElementsAre(1, 2, 3, 250, 251, 252));
}

TEST_F(PngFiles, sixteen_bits_become_the_eight_that_mean_the_same) {
  // v * 257 is v: a linear reading of 16 bits would make 188 of 128.
  EXPECT_THAT(decode(test::png(3, 1, PngColour::grey, 16, {0, 0, 128, 128, 255, 255})).pixels,
              ElementsAre(0, 128, 255));
  EXPECT_THAT(decode(test::png(1, 1, PngColour::rgb, 16, {7, 7, 99, 99, 201, 201})).pixels, ElementsAre(7, 99, 201));
}

TEST_F(PngFiles, a_palette_is_looked_up) {
  const Picture picture =
      decode(test::png(2, 1, PngColour::palette, 8, {1, 0}, {{"PLTE", {10, 20, 30, 200, 100, 50}}}));
  EXPECT_THAT(picture.pixels, ElementsAre(200, 100, 50, 10, 20, 30));
}

TEST_F(PngFiles, what_is_transparent_shows_white_and_what_is_opaque_keeps_its_colour) {
  const Picture rgba = decode(test::png(3, 1, PngColour::rgba, 8, {9, 8, 7, 255, 9, 8, 7, 0, 0, 0, 0, 128}));
  ASSERT_EQ(rgba.extent, (Extent{1, 3, 3}));
  EXPECT_THAT(std::vector(rgba.pixels.begin(), rgba.pixels.begin() + 6), ElementsAre(9, 8, 7, 255, 255, 255));
  EXPECT_GT(rgba.pixels[6], 100);  // between: half black, half white
  EXPECT_LT(rgba.pixels[6], 200);
  EXPECT_THAT(decode(test::png(2, 1, PngColour::grey_alpha, 8, {77, 255, 77, 0})).pixels, ElementsAre(77, 255));
  EXPECT_THAT(
      decode(test::png(2, 1, PngColour::palette, 8, {0, 1}, {{"PLTE", {10, 20, 30, 40, 50, 60}}, {"tRNS", {0, 255}}}))
          .pixels,
      ElementsAre(255, 255, 255, 40, 50, 60));
}

TEST_F(PngFiles, every_cut_and_every_damaged_byte_of_the_pixels_is_refused) {
  const ByteVector whole = test::flat_png(5, 4, 10, 20, 30);
  ASSERT_NO_THROW(decode(whole));
  // Without its last chunk (12 bytes) all pixels are there.
  for (std::size_t size = 0; size + 12 < whole.size(); ++size) {
    const std::string message = refusal(ByteVector(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
    EXPECT_THAT(message, StartsWith("file: ")) << size;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  for (std::size_t at = 8; at + 12 < whole.size(); ++at) {
    ByteVector damaged = whole;
    damaged[at] ^= 0x10;
    EXPECT_THAT(refusal(damaged), StartsWith("file: ")) << "byte " << at;
  }
}

const std::vector<int> kColourBlocks{200, 40, 40, 40, 180, 60, 30, 60, 220, 128, 128, 128};
const std::vector<int> kGreyBlocks{88, 124, 69, 128};

// The four blocks' middles within what a quality of 95 leaves of them.
void expect_blocks(const Picture& picture, const std::vector<int>& blocks) {
  ASSERT_EQ(picture.extent, (Extent{16, 16, static_cast<int>(blocks.size() / 4)}));
  for (int block = 0; block < 4; ++block) {
    for (int c = 0; c < picture.extent.channels; ++c) {
      const int y = block / 2 * 8 + 4, x = block % 2 * 8 + 4;
      const auto at = static_cast<std::size_t>((y * 16 + x) * picture.extent.channels + c);
      EXPECT_NEAR(picture.pixels[at], blocks[static_cast<std::size_t>(block * picture.extent.channels + c)], 3)
          << "block " << block << ", channel " << c;
    }
  }
}

TEST_F(JpegFiles, baseline_progressive_grey_and_cmyk_become_what_was_drawn) {
  expect_blocks(decode(test::golden_jpeg("colour")), kColourBlocks);
  expect_blocks(decode(test::golden_jpeg("progressive")), kColourBlocks);
  expect_blocks(decode(test::golden_jpeg("cmyk")), kColourBlocks);
  expect_blocks(decode(test::golden_jpeg("grey")), kGreyBlocks);
}

TEST_F(JpegFiles, every_cut_is_refused_and_damage_never_gives_other_than_pixels_or_a_line) {
  for (const char* name : {"colour", "progressive", "grey", "cmyk"}) {
    const ByteVector whole = test::golden_jpeg(name);
    // Without its last marker (2 bytes) all pixels are there.
    for (std::size_t size = 0; size + 2 < whole.size(); ++size) {
      EXPECT_THAT(refusal(ByteVector(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))),
                  StartsWith("file: "))
          << name << ", " << size;
    }
    for (std::size_t at = 3; at < whole.size(); ++at) {
      ByteVector damaged = whole;
      damaged[at] ^= 0x24;
      const std::string message = refusal(damaged, {.pixels = 1 << 16});
      if (!message.empty()) EXPECT_THAT(message, StartsWith("file: "));
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    }
  }
}

// An APP1 marker's contents with one entry before the orientation, as cameras write it.
ByteVector exif(std::uint8_t orientation, bool big_endian) {
  const auto number = [&](ByteVector bytes) {  // given as big-endian
    if (!big_endian) std::reverse(bytes.begin(), bytes.end());
    return bytes;
  };
  ByteVector marker{'E', 'x', 'i', 'f', 0, 0};
  const auto add = [&](const ByteVector& bytes) { marker.insert(marker.end(), bytes.begin(), bytes.end()); };
  add(big_endian ? ByteVector{'M', 'M'} : ByteVector{'I', 'I'});
  add(number({0, 42}));
  add(number({0, 0, 0, 8}));  // where the directory lies
  add(number({0, 2}));        // entries
  for (const auto& [tag, value] : {std::pair{ByteVector{0x01, 0x0f}, ByteVector{0, 7}},
                                   std::pair{ByteVector{0x01, 0x12}, ByteVector{0, orientation}}}) {
    add(number(tag));
    add(number({0, 3}));        // of 16 bits,
    add(number({0, 0, 0, 1}));  // one
    add(number(value));
    add({0, 0});
  }
  return marker;
}

TEST(Orientation, is_read_in_both_byte_orders_and_unsound_data_have_none) {
  for (const bool big_endian : {false, true}) {
    for (const std::uint8_t orientation : {1, 3, 6, 8}) {
      EXPECT_EQ(exif_orientation(exif(orientation, big_endian)), orientation);
    }
    EXPECT_EQ(exif_orientation(exif(9, big_endian)), 0);
    const ByteVector whole = exif(6, big_endian);
    for (std::size_t size = 0; size + 3 < whole.size(); ++size) {
      EXPECT_EQ(exif_orientation(std::span(whole).first(size)), 0) << size;
    }
  }
  EXPECT_EQ(exif_orientation(ByteVector(40, 'x')), 0);
}

TEST(Orientation, turns_and_mirrors_as_the_standard_numbers_them) {
  const auto seen = [](int orientation) {
    const Picture picture = turned({{2, 3, 1}, {1, 2, 3, 4, 5, 6}}, orientation);
    EXPECT_EQ(picture.extent.height, orientation >= 5 ? 3 : 2);
    return picture.pixels;
  };
  EXPECT_THAT(seen(1), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(seen(2), ElementsAre(3, 2, 1, 6, 5, 4));
  EXPECT_THAT(seen(3), ElementsAre(6, 5, 4, 3, 2, 1));
  EXPECT_THAT(seen(4), ElementsAre(4, 5, 6, 1, 2, 3));
  EXPECT_THAT(seen(5), ElementsAre(1, 4, 2, 5, 3, 6));
  EXPECT_THAT(seen(6), ElementsAre(4, 1, 5, 2, 6, 3));  // a quarter clockwise
  EXPECT_THAT(seen(7), ElementsAre(6, 3, 5, 2, 4, 1));
  EXPECT_THAT(seen(8), ElementsAre(3, 6, 2, 5, 1, 4));
  EXPECT_THAT(turned({{1, 2, 3}, {1, 2, 3, 4, 5, 6}}, 3).pixels, ElementsAre(4, 5, 6, 1, 2, 3));
}

TEST_F(JpegFiles, that_say_which_way_up_they_are_are_turned) {
  ByteVector file = test::golden_jpeg("colour");
  const ByteVector marker = exif(6, true);
  ByteVector segment{0xff, 0xe1, 0, static_cast<std::uint8_t>(marker.size() + 2)};
  segment.insert(segment.end(), marker.begin(), marker.end());
  file.insert(file.begin() + 2, segment.begin(), segment.end());
  // The lower left block, blue, comes to the upper left.
  expect_blocks(decode(file), {30, 60, 220, 200, 40, 40, 128, 128, 128, 40, 180, 60});
}

TEST(ImageFiles, what_is_no_picture_is_refused_by_its_contents) {
  EXPECT_THAT(refusal({}), AllOf(HasSubstr("a PNG or JPEG picture expected"), HasSubstr("an empty file")));
  EXPECT_THAT(refusal({'G', 'I', 'F', '8', '9', 'a'}), HasSubstr("a PNG or JPEG picture expected"));
}

TEST_F(PngFiles, more_pixels_than_allowed_are_refused_before_memory_is_taken) {
  EXPECT_THAT(refusal(test::flat_png(40, 40, 1, 2, 3), {.pixels = 1599}),
              AllOf(StartsWith("file: at most 1,599 pixels"), HasSubstr("40 x 40")));
  EXPECT_EQ(refusal(test::flat_png(40, 40, 1, 2, 3), {.pixels = 1600}), "");
}

TEST(ImageFiles, names_end_in_png_jpg_or_jpeg_in_any_case) {
  for (const char* name : {"a.png", "A.PNG", "a.b.jpg", "x.JPEG", "dir/x.Jpg"})
    EXPECT_TRUE(has_picture_name(name)) << name;
  for (const char* name : {"png", "a.gif", "a.png.txt", "a.jpe", ""}) EXPECT_FALSE(has_picture_name(name)) << name;
}

Picture grey_line(std::vector<std::uint8_t> pixels) {
  const int width = static_cast<int>(pixels.size());
  return {{1, width, 1}, std::move(pixels)};
}

// A line as tall as it is wide, so that nothing is cut off.
std::vector<std::uint8_t> resized_line(const std::vector<std::uint8_t>& line, int width) {
  Picture square{{static_cast<int>(line.size()), static_cast<int>(line.size()), 1}, {}};
  for (std::size_t y = 0; y < line.size(); ++y) square.pixels.insert(square.pixels.end(), line.begin(), line.end());
  std::vector<std::uint8_t> pixels = fit(square, width, width);
  for (int y = 1; y < width; ++y) {
    EXPECT_TRUE(std::equal(pixels.begin(), pixels.begin() + width, pixels.begin() + y * width));
  }
  pixels.resize(static_cast<std::size_t>(width));
  return pixels;
}

TEST(Resizing, shrinking_averages_over_areas_also_over_parts_of_pixels) {
  EXPECT_THAT(resized_line({10, 20, 100, 200}, 2), ElementsAre(15, 150));
  // Three into two: one and a half pixels each.
  EXPECT_THAT(resized_line({0, 90, 240}, 2), ElementsAre(30, 190));
  EXPECT_THAT(resized_line({0, 90, 240}, 1), ElementsAre(110));
}

TEST(Resizing, enlarging_is_linear_between_the_middles_of_pixels) {
  EXPECT_THAT(resized_line({0, 100}, 4), ElementsAre(0, 25, 75, 100));
  EXPECT_THAT(resized_line({7}, 3), ElementsAre(7, 7, 7));
}

TEST(Resizing, the_same_size_keeps_every_byte) {
  EXPECT_THAT(resized_line({3, 1, 4, 1, 5}, 5), ElementsAre(3, 1, 4, 1, 5));
}

TEST(Resizing, the_centred_part_of_the_wanted_proportions_is_kept) {
  EXPECT_THAT(fit(grey_line({200, 10, 30, 250}), 1, 2), ElementsAre(10, 30));
  const Picture tall{{4, 2, 1}, {255, 255, 1, 2, 3, 4, 255, 255}};
  EXPECT_THAT(fit(tall, 2, 2), ElementsAre(1, 2, 3, 4));
  // An odd margin halves a pixel on each side.
  EXPECT_THAT(fit({{2, 3, 1}, {0, 100, 200, 0, 100, 200}}, 1, 1), ElementsAre(100));
}

TEST(Resizing, channels_do_not_mix) {
  const Picture picture{{2, 2, 3}, {0, 100, 200, 20, 100, 0, 40, 100, 200, 60, 100, 0}};
  EXPECT_THAT(fit(picture, 1, 1), ElementsAre(30, 100, 100));
}

TEST(Resizing, grey_is_the_luminance_and_colour_of_grey_is_grey) {
  EXPECT_THAT(to_grey({255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255}), ElementsAre(76, 150, 29, 255));
  EXPECT_THAT(to_rgb({5, 6}), ElementsAre(5, 5, 5, 6, 6, 6));
  EXPECT_THAT(fit_to({{1, 1, 3}, {255, 255, 255}}, {1, 1, 1}), ElementsAre(255));
  EXPECT_THAT(fit_to({{1, 1, 1}, {9}}, {1, 1, 3}), ElementsAre(9, 9, 9));
}

}  // namespace
}  // namespace convoy
