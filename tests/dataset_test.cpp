// What is computed of a data set: statistics, checksum, the validation split, its description and its picture.
#include "data/dataset.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "convoy/error.hpp"
#include "convoy/philox.hpp"
#include "data/checksum.hpp"
#include "data/describe.hpp"
#include "data/picture.hpp"
#include "data/split.hpp"
#include "data/statistics.hpp"
#include "support/data_files.hpp"
#include "support/temporary_folder.hpp"

namespace convoy {
namespace {

// `counts[c]` images of class c, in turn; every image's first two pixels are its number.
ImageSet make_set(const std::vector<int>& counts, const Extent& image = {4, 3, 3}) {
  ImageSet set;
  set.image = image;
  std::vector<int> left = counts;
  for (bool any = true; any;) {
    any = false;
    for (std::size_t c = 0; c < left.size(); ++c) {
      if (left[c]-- <= 0) continue;
      any = true;
      const std::size_t index = set.count();
      set.labels.push_back(static_cast<std::int32_t>(c));
      for (std::int64_t i = 0; i < image.elements(); ++i) {
        set.images.push_back(static_cast<std::uint8_t>(i == 0   ? index
                                                       : i == 1 ? index >> 8
                                                                : index * 31 + static_cast<std::size_t>(i) * 17));
      }
    }
  }
  return set;
}

int number_of(const ImageSet& set, std::size_t place) { return set.at(place)[0] + 256 * set.at(place)[1]; }

Dataset make_dataset() {
  Dataset data;
  data.name = "TEST";
  data.origin = "nowhere";
  data.class_names = {"cat", "a dog", "ship"};
  data.train = make_set({5, 4, 6});
  data.test = make_set({2, 1, 0});
  data.checksum = checksum(data);
  return data;
}

TEST(Statistics, mean_and_deviation_are_those_of_each_channel) {
  for (const int channels : {1, 3}) {
    const ImageSet set = make_set({700, 800}, {4, 3, channels});
    const ChannelStatistics statistics = channel_statistics(set);
    ASSERT_EQ(statistics.mean.size(), static_cast<std::size_t>(channels));
    for (int c = 0; c < channels; ++c) {
      double sum = 0, squares = 0;
      const double count = static_cast<double>(set.images.size()) / channels;
      for (std::size_t i = static_cast<std::size_t>(c); i < set.images.size();
           i += static_cast<std::size_t>(channels)) {
        sum += set.images[i] / 255.0;
      }
      for (std::size_t i = static_cast<std::size_t>(c); i < set.images.size();
           i += static_cast<std::size_t>(channels)) {
        squares += std::pow(set.images[i] / 255.0 - sum / count, 2);
      }
      EXPECT_NEAR(statistics.mean[static_cast<std::size_t>(c)], sum / count, 1e-12);
      EXPECT_NEAR(statistics.deviation[static_cast<std::size_t>(c)], std::sqrt(squares / count), 1e-12);
    }
  }
}

TEST(Statistics, a_constant_image_has_no_deviation) {
  ImageSet set{{2, 2, 1}, std::vector<std::uint8_t>(8, 255), {0, 0}};
  EXPECT_EQ(channel_statistics(set).mean[0], 1.0);
  EXPECT_EQ(channel_statistics(set).deviation[0], 0.0);
}

TEST(Statistics, no_images_are_refused) { EXPECT_THROW(channel_statistics(ImageSet{{2, 2, 1}, {}, {}}), Error); }

// The definition in data/checksum.hpp, word by word.
std::uint64_t checksum_by_definition(const Dataset& data) {
  const auto mix = [](std::uint64_t h, std::uint64_t w) {
    h = (h ^ w) * 0x9E3779B97F4A7C15u;
    return h ^ (h >> 32);
  };
  std::uint64_t hash = 0;
  for (const ImageSet* set : {&data.train, &data.test}) {
    for (const std::uint64_t v : {static_cast<std::uint64_t>(set->count()), std::uint64_t(set->image.height),
                                  std::uint64_t(set->image.width), std::uint64_t(set->image.channels)}) {
      hash = mix(hash, v);
    }
    for (std::size_t s = 0; s < set->count(); ++s) {
      std::uint64_t sample = static_cast<std::uint64_t>(set->labels[s]);
      for (std::int64_t i = 0; i < set->image.elements(); i += 8) {
        std::uint64_t word = 0;
        for (std::int64_t b = 0; b < 8 && i + b < set->image.elements(); ++b) {
          word |= std::uint64_t{set->at(s)[i + b]} << (8 * b);
        }
        sample = mix(sample, word);
      }
      hash = mix(hash, sample);
    }
  }
  return hash;
}

TEST(DataChecksum, it_is_the_one_that_the_header_defines) {
  Dataset data = make_dataset();
  EXPECT_EQ(checksum(data), checksum_by_definition(data));
  data.train = make_set({1500, 1600}, {5, 5, 1});  // several blocks, a last word of one byte
  EXPECT_EQ(checksum(data), checksum_by_definition(data));
}

TEST(DataChecksum, every_pixel_label_and_the_order_matter) {
  const Dataset data = make_dataset();
  const auto differs = [&](const std::function<void(Dataset&)>& change) {
    Dataset other = data;
    change(other);
    return checksum(other) != data.checksum;
  };
  EXPECT_FALSE(differs([](Dataset&) {}));
  EXPECT_TRUE(differs([](Dataset& d) { d.train.images.back() ^= 1; }));
  EXPECT_TRUE(differs([](Dataset& d) { d.test.images.front() ^= 0x80; }));
  EXPECT_TRUE(differs([](Dataset& d) { d.train.labels[3] ^= 1; }));
  EXPECT_TRUE(differs([](Dataset& d) { std::swap(d.train, d.test); }));
  EXPECT_TRUE(differs([](Dataset& d) { d.train.image = {3, 4, 3}; }));
}

TEST(Split, the_parts_are_disjoint_complete_and_keep_pixels_labels_and_order) {
  const ImageSet set = make_set({100, 100, 100});
  const Split split = split_validation(set, 60, 1);
  EXPECT_EQ(split.validation.count(), 60u);
  EXPECT_EQ(split.train.count(), 240u);
  std::set<int> seen;
  for (const ImageSet* part : {&split.train, &split.validation}) {
    EXPECT_EQ(part->image, set.image);
    int before = -1;
    for (std::size_t i = 0; i < part->count(); ++i) {
      const int number = number_of(*part, i);
      EXPECT_GT(number, before);
      before = number;
      EXPECT_TRUE(seen.insert(number).second);
      const auto index = static_cast<std::size_t>(number);
      EXPECT_EQ(part->labels[i], set.labels[index]);
      EXPECT_TRUE(std::equal(part->at(i), part->at(i) + set.image.elements(), set.at(index)));
    }
  }
}

TEST(Split, classes_give_their_share_even_where_they_are_uneven) {
  const Split even = split_validation(make_set({100, 100, 100}), 50, 1);
  EXPECT_THAT(class_counts(even.validation, 3), testing::ElementsAre(17, 17, 16));
  const Split uneven = split_validation(make_set({200, 100, 3}), 30, 1);
  EXPECT_THAT(class_counts(uneven.validation, 3), testing::ElementsAre(20, 10, 0));
}

TEST(Split, the_keys_of_the_contract_choose_the_images) {
  const ImageSet set = make_set({50});
  std::vector<std::pair<std::uint64_t, int>> keyed;
  for (int i = 0; i < 50; ++i) {
    const Random4 bits = random_bits(3, Purpose::validation, 0, static_cast<std::uint64_t>(i));
    keyed.emplace_back((std::uint64_t{bits.x} << 32) | bits.y, i);
  }
  std::sort(keyed.begin(), keyed.end());
  std::set<int> expected, found;
  for (std::size_t i = 0; i < 7; ++i) expected.insert(keyed[i].second);
  const Split split = split_validation(set, 7, 3);
  for (std::size_t i = 0; i < 7; ++i) found.insert(number_of(split.validation, i));
  EXPECT_EQ(found, expected);
}

TEST(Split, another_seed_holds_out_others_and_a_larger_count_contains_a_smaller) {
  const ImageSet set = make_set({200, 200});
  EXPECT_NE(split_validation(set, 50, 1).validation.images, split_validation(set, 50, 2).validation.images);
  std::set<int> large;
  const Split wide = split_validation(set, 100, 1), narrow = split_validation(set, 50, 1);
  for (std::size_t i = 0; i < 100; ++i) large.insert(number_of(wide.validation, i));
  for (std::size_t i = 0; i < 50; ++i) EXPECT_TRUE(large.contains(number_of(narrow.validation, i)));
}

TEST(Split, counts_and_fractions_are_understood_and_others_refused) {
  EXPECT_EQ(validation_count("5000", 50'000), 5000u);
  EXPECT_EQ(validation_count("0.1", 50'000), 5000u);
  EXPECT_EQ(validation_count("1", 50'000), 1u);
  for (const char* text : {"0", "-5", "50000", "2.5", "many", "", "0.0000001", "nan", "inf", "10%"}) {
    EXPECT_THROW(validation_count(text, 50'000), UsageError) << text;
  }
  EXPECT_THROW(split_validation(make_set({5}), 5, 0), Error);
  EXPECT_THROW(split_validation(make_set({5}), 0, 0), Error);
}

TEST(Describe, the_text_holds_counts_classes_statistics_and_checksum) {
  const Dataset data = make_dataset();
  const std::string text = to_text(describe(data));
  for (const char* part : {"TEST, read from nowhere", "4 x 3, 3 channels", "4 to 6 in a class", "a dog", "3 classes"}) {
    EXPECT_THAT(text, testing::HasSubstr(part));
  }
  EXPECT_THAT(text, testing::HasSubstr(checksum_text(data.checksum)));
  EXPECT_THAT(text, testing::HasSubstr(fmt::format("{:.4f}", channel_statistics(data.train).mean[1])));
}

TEST(Picture, a_contact_sheet_has_a_row_for_every_class) {
  const TemporaryFolder place;
  const auto height_of = [&](const Dataset& data) {
    const std::string path = place.path() / "sheet.png";
    write_contact_sheet(data, path);
    std::ifstream stream(path, std::ios::binary);
    std::string bytes(24, '\0');
    stream.read(bytes.data(), 24);
    EXPECT_EQ(bytes.substr(1, 3), "PNG");
    const auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(bytes[i])); };
    return (byte(20) << 24) | (byte(21) << 16) | (byte(22) << 8) | byte(23);
  };
  Dataset data = make_dataset();
  const unsigned three = height_of(data);
  data.class_names.resize(2);
  data.train = make_set({5, 4});
  EXPECT_EQ(three - height_of(data), 4u * 2 + 4);  // one row: four pixels zoomed, and a gap
  EXPECT_THAT(test::message_of([&] { write_contact_sheet(data, place.path() / "absent" / "sheet.png"); }),
              testing::AllOf(testing::HasSubstr("sheet.png"), testing::HasSubstr("cannot be written")));
}

}  // namespace
}  // namespace convoy
