// Every published format gives the same images, labels and names, wherever it lies and however it is packed.
// needs: libarchive
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "convoy/error.hpp"
#include "data/load.hpp"
#include "data/locate.hpp"
#include "data/statistics.hpp"
#include "support/data_files.hpp"
#include "support/temporary_folder.hpp"

namespace convoy {
namespace {

using test::ByteVector;
using test::NamedFiles;

Dataset load(const Source& source, bool coarse = false) { return load_dataset(source, {source.path, coarse, 0}); }

Dataset load_path(const std::string& path) { return load_dataset({path, false, 0}); }

// Sample `index` of the made sets, HWC, grey or RGB, with `margin` zero pixels around.
void expect_sample(const ImageSet& set, std::size_t place, std::size_t index, int margin = 0) {
  const std::uint8_t* p = set.at(place);
  for (int y = 0; y < set.image.height; ++y) {
    for (int x = 0; x < set.image.width; ++x) {
      for (int c = 0; c < set.image.channels; ++c, ++p) {
        const bool inside = std::min(y, x) >= margin && std::max(y, x) < set.image.height - margin;
        ASSERT_EQ(*p, inside ? test::pixel(index, y - margin, x - margin, c) : 0)
            << "sample " << index << " at " << y << ", " << x << ", " << c;
      }
    }
  }
}

void expect_cifar10(const Dataset& data) {
  ASSERT_EQ(data.train.count(), 24u);
  ASSERT_EQ(data.test.count(), 12u);
  EXPECT_EQ(data.train.image, (Extent{32, 32, 3}));
  ASSERT_EQ(data.classes(), 10);
  EXPECT_EQ(data.class_names[3], "kind3");
  for (std::size_t i = 0; i < 24; ++i) {
    EXPECT_EQ(data.train.labels[i], static_cast<int>(i % 10));
    expect_sample(data.train, i, i);
  }
  for (std::size_t i = 0; i < 12; ++i) {
    EXPECT_EQ(data.test.labels[i], static_cast<int>((24 + i) % 10));
    expect_sample(data.test, i, 24 + i);
  }
}

TEST(Readers, cifar10_binary_becomes_pixels_in_the_order_of_the_batches) {
  const Dataset data = load(test::source("folder", test::cifar10_binary(12)));
  EXPECT_EQ(data.name, "CIFAR-10 (binary)");
  expect_cifar10(data);
}

TEST(Readers, cifar10_pickles_hold_the_same_as_the_binary_files) {
  const Dataset data = load(test::source("folder", test::cifar10_pickles(12)));
  EXPECT_EQ(data.name, "CIFAR-10 (Python)");
  expect_cifar10(data);
  EXPECT_EQ(data.checksum, load(test::source("folder", test::cifar10_binary(12))).checksum);
}

TEST(Readers, archives_are_read_without_unpacking_plain_or_compressed) {
  for (const bool compressed : {false, true}) {
    expect_cifar10(load(test::source("a", test::tar_of(test::cifar10_binary(12), "cifar-10-batches-bin", compressed))));
    expect_cifar10(load(test::source("a", test::tar_of(test::cifar10_pickles(12), "cifar-10-batches-py", compressed))));
  }
}

TEST(Readers, cifar100_has_fine_and_coarse_labels_in_both_encodings) {
  for (const NamedFiles& files : {test::cifar100_binary(130, 110), test::cifar100_pickles(130, 110)}) {
    const Dataset fine = load(test::source("folder", files));
    const Dataset coarse = load(test::source("folder", files), true);
    EXPECT_THAT(fine.name, testing::StartsWith("CIFAR-100"));
    ASSERT_EQ(fine.train.count(), 130u);
    ASSERT_EQ(fine.test.count(), 110u);
    EXPECT_EQ(fine.classes(), 100);
    EXPECT_EQ(coarse.classes(), 20);
    EXPECT_EQ(fine.class_names[42], "fine42");
    EXPECT_EQ(coarse.class_names[19], "coarse19");
    for (std::size_t i : {0u, 19u, 20u, 99u, 100u, 129u}) {
      EXPECT_EQ(fine.train.labels[i], static_cast<int>(i % 100));
      EXPECT_EQ(coarse.train.labels[i], static_cast<int>(i % 20));
      expect_sample(fine.train, i, i);
    }
    EXPECT_EQ(fine.test.labels[0], 30);
    expect_sample(fine.test, 0, 130);
    EXPECT_NE(fine.checksum, coarse.checksum);
  }
}

TEST(Readers, idx_is_padded_with_zeros_to_32_pixels_plain_and_compressed) {
  NamedFiles files = test::idx_files(20, 11);
  const Dataset plain = load(test::source("folder", files));
  NamedFiles compressed;
  for (const auto& [name, bytes] : files) compressed.emplace_back(name + ".gz", test::gzip_of(bytes));
  const Dataset unpacked = load(test::source("folder", compressed));
  for (const Dataset& data : {plain, unpacked}) {
    ASSERT_EQ(data.train.count(), 20u);
    ASSERT_EQ(data.test.count(), 11u);
    EXPECT_EQ(data.train.image, (Extent{32, 32, 1}));
    EXPECT_EQ(data.class_names[7], "7");
    for (std::size_t i = 0; i < 20; ++i) expect_sample(data.train, i, i, 2);
    for (std::size_t i = 0; i < 11; ++i) {
      expect_sample(data.test, i, 20 + i, 2);
      EXPECT_EQ(data.test.labels[i], static_cast<int>(i % 10));
    }
  }
  EXPECT_EQ(plain.checksum, unpacked.checksum);
}

TEST(Readers, gzip_files_filled_up_with_zeros_are_whole) {
  ByteVector archive = test::tar_of(test::cifar10_binary(12), "folder", true);
  archive.resize(archive.size() + 3000);
  expect_cifar10(load(test::source("a", archive)));
}

TEST(Readers, fashion_is_known_by_its_labels_and_else_by_its_folder) {
  constexpr std::uint8_t kLabels[] = {9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9, 1, 0, 6, 4};
  NamedFiles files = test::idx_files(20, 11);
  std::copy(std::begin(kLabels), std::end(kLabels), test::file(files, "train-labels-idx1-ubyte").begin() + 8);
  EXPECT_EQ(load(test::source("folder", files)).class_names[9], "Ankle boot");
  EXPECT_EQ(load(test::source("my/Fashion", test::idx_files(20, 11))).class_names[9], "Ankle boot");
  EXPECT_EQ(load(test::source("folder", test::idx_files(20, 11))).class_names[9], "9");
}

TEST(Readers, contents_decide_and_not_names) {
  NamedFiles files;
  files.emplace_back("some-of-it", test::cifar10_records(12));
  files.emplace_back("for-testing", test::cifar10_records(12, 12));
  const Dataset data = load(test::source("folder", files));
  EXPECT_EQ(data.train.count(), 12u);
  EXPECT_EQ(data.test.count(), 12u);
  expect_sample(data.test, 0, 12);
  EXPECT_EQ(data.class_names[0], "airplane");  // without a names file, the published names
}

TEST(Readers, one_batch_alone_is_a_training_set) {
  const Dataset data = load(test::source("test_batch.bin", test::cifar10_records(12)));
  EXPECT_EQ(data.train.count(), 12u);
  EXPECT_EQ(data.test.count(), 0u);
}

TEST(Readers, a_folder_on_disk_an_archive_and_a_folder_around_them_give_the_same) {
  const TemporaryFolder place;
  const std::string inner = place.path() / "cifar-10-batches-bin";
  std::filesystem::create_directory(inner);
  test::write(inner, test::cifar10_binary(12));
  test::write(place.path(), {{"c.tar.gz", test::tar_of(test::cifar10_binary(12), "b", true)}});
  expect_cifar10(load_path(inner));
  expect_cifar10(load_path(place.path() / "c.tar.gz"));
  expect_cifar10(load_path(place.path()));
  EXPECT_EQ(load_path(place.path()).origin, place.path());
  std::filesystem::remove_all(inner);
  expect_cifar10(load_path(place.path()));
}

TEST(Readers, data_are_looked_for_in_the_environment_and_then_in_the_data_folder) {
  const TemporaryFolder place;
  const std::filesystem::path before = std::filesystem::current_path();
  const char* old = std::getenv("CONVOY_DATA");
  const std::string kept = old != nullptr ? old : "";
  std::filesystem::current_path(place.path());
  ::unsetenv("CONVOY_DATA");
  EXPECT_EQ(find_data(), std::nullopt);
  std::filesystem::create_directory("data");
  EXPECT_EQ(find_data(), std::nullopt);
  test::write("data", test::cifar10_binary(12));
  EXPECT_EQ(find_data(), "data");
  ::setenv("CONVOY_DATA", "elsewhere", 1);
  EXPECT_EQ(find_data(), "elsewhere");
  std::filesystem::current_path(before);
  old != nullptr ? ::setenv("CONVOY_DATA", kept.c_str(), 1) : ::unsetenv("CONVOY_DATA");
}

TEST(Readers, synthetic_data_are_equal_for_equal_seeds_and_balanced) {
  const Dataset first = load_dataset({"synthetic:200", false, 7});
  const Dataset again = load_dataset({"synthetic:200", false, 7});
  const Dataset other = load_dataset({"synthetic:200", false, 8});
  EXPECT_EQ(first.train.images, again.train.images);
  EXPECT_EQ(first.checksum, again.checksum);
  EXPECT_NE(first.checksum, other.checksum);
  EXPECT_EQ(first.train.image, (Extent{32, 32, 3}));
  EXPECT_EQ(first.test.count(), 40u);
  EXPECT_THAT(class_counts(first.train, 10), testing::Each(20u));
  // More of them begin with the same ones.
  const Dataset more = load_dataset({"synthetic:300", false, 7});
  EXPECT_TRUE(std::equal(first.train.images.begin(), first.train.images.end(), more.train.images.begin()));
}

TEST(Readers, synthetic_images_are_the_same_on_every_machine) {
  EXPECT_EQ(load_dataset({"synthetic:100", false, 1}).checksum, 16033248057599599405u);
}

std::string published(const char* name) {
  const char* folder = std::getenv("CONVOY_TEST_DATA");
  return folder != nullptr ? std::string(folder) + "/" + name : std::string();
}

TEST(Readers, the_published_cifar10_is_whole_and_the_same_in_every_packing) {
  if (!std::filesystem::exists(published("cifar-10-batches-bin"))) {
    GTEST_SKIP() << "CONVOY_TEST_DATA names no folder with cifar-10-batches-bin";
  }
  const Dataset binary = load_path(published("cifar-10-batches-bin"));
  EXPECT_THAT(class_counts(binary.train, 10), testing::Each(5000u));
  EXPECT_THAT(class_counts(binary.test, 10), testing::Each(1000u));
  EXPECT_EQ(binary.class_names[9], "truck");
  for (const char* name : {"cifar-10-batches-py", "cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"}) {
    if (!std::filesystem::exists(published(name))) continue;
    const Dataset other = load_path(published(name));
    EXPECT_EQ(other.checksum, binary.checksum) << name;
    EXPECT_EQ(other.class_names, binary.class_names) << name;
  }
}

TEST(Readers, the_published_fashion_mnist_is_whole) {
  constexpr const char* kFolder = "/usr/share/datasets/fashion-mnist";  // where Debian's package puts it
  if (!std::filesystem::exists(kFolder)) GTEST_SKIP() << kFolder << " is not there";
  const Dataset data = load_path(kFolder);
  EXPECT_EQ(data.name, "Fashion-MNIST (IDX)");
  EXPECT_THAT(class_counts(data.train, 10), testing::Each(6000u));
  EXPECT_THAT(class_counts(data.test, 10), testing::Each(1000u));
  // The published mean, 0.2860 of 28 x 28 pixels, spread over 32 x 32.
  EXPECT_NEAR(channel_statistics(data.train).mean[0], 0.2860 * 28 * 28 / (32 * 32), 1e-4);
}

}  // namespace
}  // namespace convoy
