// Every malformed file is refused with one line that names the file, what was expected and what was found.
// needs: libarchive
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "convoy/error.hpp"
#include "data/archive.hpp"
#include "data/load.hpp"
#include "support/data_files.hpp"
#include "support/temporary_folder.hpp"

namespace convoy {
namespace {

using test::ByteVector;
using test::file;
using test::NamedFiles;
using Parts = std::vector<std::string>;

void expect_message(const std::string& message, const Parts& parts) {
  ASSERT_NE(message, "") << "read without complaint; expected: " << testing::PrintToString(parts);
  for (const std::string& part : parts) EXPECT_THAT(message, testing::HasSubstr(part));
  EXPECT_EQ(message.find('\n'), std::string::npos) << "more than one line: " << message;
}

void expect_refused(const Source& source, const Parts& parts, bool coarse = false) {
  expect_message(test::message_of([&] { load_dataset(source, {source.path, coarse, 0}); }), parts);
}

void expect_refused(const NamedFiles& files, const Parts& parts) { expect_refused(test::source("set", files), parts); }

void expect_archive_refused(const ByteVector& bytes, const Parts& parts) {
  expect_message(test::message_of([&] {
                   load_dataset(test::source("set.tar.gz", bytes), {"set.tar.gz", false, 0});
                 }),
                 parts);
}

// The bytes of a tar archive of one CIFAR set with one header changed.
ByteVector archive_with(const std::function<void(archive_entry*)>& change) {
  return test::tar_of(test::cifar10_binary(4), "folder", true, [&](const std::string& name, void* entry) {
    if (name == "data_batch_2.bin") change(static_cast<archive_entry*>(entry));
  });
}

TEST(MalformedCifar, a_truncated_batch_names_the_file_and_both_sizes) {
  NamedFiles files = test::cifar10_binary(12);
  file(files, "data_batch_2.bin").resize(17'112);
  expect_refused(files, {"set/data_batch_2.bin", "30,730,000 bytes expected", "found 17,112", "download it again"});
}

TEST(MalformedCifar, a_set_of_which_every_file_is_truncated_is_still_told_what_is_wrong) {
  NamedFiles files = test::cifar10_binary(12);
  for (const char* name : {"data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"}) file(files, name).pop_back();
  expect_refused(files, {"set/data_batch_1.bin", "30,730,000 bytes expected", "found 36,875"});
}

TEST(MalformedCifar, an_empty_batch_is_refused) {
  NamedFiles files = test::cifar10_binary(12);
  file(files, "test_batch.bin").clear();
  expect_refused(files, {"set/test_batch.bin", "30,730,000 bytes expected", "found 0"});
}

TEST(MalformedCifar, a_batch_cut_between_two_records_differs_from_the_others) {
  NamedFiles files = test::cifar10_binary(12);
  file(files, "data_batch_1.bin").resize(5 * 3073);
  expect_refused(files, {"set/data_batch_1.bin", "12 images expected", "found 5"});
}

TEST(MalformedCifar, a_wrong_label_names_its_record) {
  NamedFiles files = test::cifar10_binary(40);
  file(files, "data_batch_2.bin")[17 * 3073] = 200;
  expect_refused(files, {"set/data_batch_2.bin", "record 17", "0 to 9", "found 200"});
}

TEST(MalformedCifar, wrong_labels_of_cifar100_say_whether_coarse_or_fine) {
  NamedFiles files = test::cifar100_binary(120, 100);
  file(files, "train.bin")[1 * 3074] = 20;
  expect_refused(files, {"set/train.bin", "record 1", "coarse label from 0 to 19", "found 20"});
  files = test::cifar100_binary(120, 100);
  file(files, "train.bin")[2 * 3074 + 1] = 100;
  expect_refused(files, {"set/train.bin", "record 2", "fine label from 0 to 99", "found 100"});
}

TEST(MalformedCifar, cifar100_of_the_wrong_size_names_the_published_one) {
  NamedFiles files = test::cifar100_binary(120, 100);
  file(files, "train.bin").resize(1000);
  expect_refused(files, {"set/train.bin", "153,700,000 bytes expected", "found 1,000"});
}

TEST(MalformedCifar, a_missing_batch_is_named) {
  NamedFiles files = test::cifar10_binary(12);
  test::remove(files, "data_batch_1.bin");
  expect_refused(files, {"set", "data_batch_1 expected", "found data_batch_2", "missing"});
}

TEST(MalformedCifar, missing_test_or_training_images_are_named) {
  NamedFiles files = test::cifar10_binary(12);
  test::remove(files, "test_batch.bin");
  expect_refused(files, {"set", "test images expected", "missing"});
  files = test::cifar100_binary(12, 10);
  test::remove(files, "train.bin");
  expect_refused(files, {"set", "training images expected", "missing"});
}

TEST(MalformedCifar, a_names_file_of_the_wrong_length_is_refused) {
  NamedFiles files = test::cifar10_binary(12);
  file(files, "batches.meta.txt") = {'c', 'a', 't', '\n', 'd', 'o', 'g', '\n'};
  expect_refused(files, {"set/batches.meta.txt", "10 class names expected", "found 2"});
}

TEST(MalformedCifar, coarse_labels_of_what_has_none_are_a_usage_error) {
  for (const NamedFiles& files : {test::cifar10_binary(12), test::cifar10_pickles(12), test::idx_files(12, 12)}) {
    expect_refused(test::source("set", files), {"coarse labels", "none", "leave out"}, true);
  }
}

TEST(MalformedPickle, a_batch_that_is_no_pickle_is_named) {
  NamedFiles files = test::cifar10_pickles(12);
  file(files, "data_batch_2") = {'<', 'h', 't', 'm', 'l', '>'};
  expect_refused(files, {"set/data_batch_2", "a Python pickle", "found something else"});
  file(files, "data_batch_2").clear();
  expect_refused(files, {"set/data_batch_2", "a Python pickle", "an empty file"});
}

TEST(MalformedPickle, a_truncated_batch_names_the_bytes_that_are_missing) {
  NamedFiles files = test::cifar10_pickles(12);
  file(files, "test_batch").resize(9000);
  expect_refused(files, {"set/test_batch", "36,864 more bytes expected", "found", "download it again"});
}

// A batch as published but for its parts.
ByteVector batch(const std::vector<int>& labels, std::uint32_t rows, std::uint32_t columns, std::size_t bytes,
                 const std::string& type = "u1") {
  test::PickleWriter writer;
  writer.begin_dict().string("labels").integers(labels).string("data");
  return writer.array(rows, columns, ByteVector(bytes), type).end_dict().stop();
}

TEST(MalformedPickle, shapes_types_and_labels_are_checked) {
  struct Case {
    ByteVector bytes;
    Parts parts;
  };
  const Case cases[] = {
      {batch({1, 2, 3}, 2, 3072, 6144), {"2 labels expected in 'labels'", "found 3"}},
      {batch({1, 10}, 2, 3072, 6144), {"'labels', entry 1", "0 to 9 expected", "found 10"}},
      {batch({1, 2}, 2, 3072, 6000), {"6,144 bytes for an array of 2 x 3,072 expected", "found 6,000"}},
      {batch({1, 2}, 2, 1024, 2048), {"images of 3,072 bytes expected", "rows of 1,024"}},
      {batch({1, 2}, 2, 3072, 6144, "f4"), {"u1 (uint8) expected", "type 'f4'"}},
      {batch({}, 0, 3072, 0), {"images expected", "found none"}},
  };
  for (const Case& c : cases) {
    NamedFiles files = test::cifar10_pickles(2);
    file(files, "data_batch_1") = c.bytes;
    Parts parts = c.parts;
    parts.emplace_back("set/data_batch_1");
    expect_refused(files, parts);
  }
}

TEST(MalformedPickle, names_of_the_wrong_number_are_refused) {
  NamedFiles files = test::cifar10_pickles(12);
  test::PickleWriter writer;
  file(files, "batches.meta") = writer.begin_dict().string("label_names").strings({"cat", "dog"}).end_dict().stop();
  expect_refused(files, {"set/batches.meta", "10 class names expected", "found 2"});
}

TEST(MalformedPickle, a_set_without_images_is_refused) {
  test::PickleWriter writer;
  expect_refused({{"data_batch_1", writer.begin_dict().string("labels").integers({1, 2}).end_dict().stop()}},
                 {"set", "'data'", "none"});
}

TEST(MalformedIdx, sizes_that_disagree_with_the_header_are_named) {
  NamedFiles files = test::idx_files(20, 11);
  file(files, "train-images-idx3-ubyte").resize(1000);
  expect_refused(files, {"set/train-images-idx3-ubyte", "15,696 bytes expected", "found 1,000"});
  files = test::idx_files(20, 11);
  file(files, "t10k-labels-idx1-ubyte").push_back(0);
  expect_refused(files, {"set/t10k-labels-idx1-ubyte", "19 bytes expected", "found 20"});
}

TEST(MalformedIdx, a_header_that_promises_terabytes_is_only_a_wrong_size) {
  NamedFiles files = test::idx_files(20, 11);
  std::fill_n(file(files, "train-images-idx3-ubyte").begin() + 4, 4, std::uint8_t{255});
  expect_refused(files, {"set/train-images-idx3-ubyte", "3,367,254,359,296 bytes expected", "found 15,696"});
}

TEST(MalformedIdx, sides_labels_and_counts_are_checked) {
  NamedFiles files = test::idx_files(20, 11, 33);
  expect_refused(files, {"-images-idx3-ubyte", "at most 32 x 32 pixels", "found a side of 33"});
  files = test::idx_files(20, 11);
  file(files, "train-labels-idx1-ubyte")[8 + 5] = 11;
  expect_refused(files, {"set/train-labels-idx1-ubyte", "entry 5", "0 to 9 expected", "found 11"});
  files = test::idx_files(20, 11);
  file(files, "train-labels-idx1-ubyte") = file(files, "t10k-labels-idx1-ubyte");
  expect_refused(files, {"set/train-labels-idx1-ubyte", "20 labels expected", "found 11"});
  files = test::idx_files(0, 11);
  expect_refused(files, {"set/train-images-idx3-ubyte", "found a count of 0"});
}

TEST(MalformedIdx, another_beginning_is_shown) {
  NamedFiles files = test::idx_files(20, 11);
  file(files, "train-images-idx3-ubyte")[2] = 0x0D;  // float values
  expect_refused(files, {"set/train-images-idx3-ubyte", "00 00 08 03 expected", "found 00 00 0d 03"});
}

TEST(MalformedIdx, a_missing_or_a_second_file_is_named) {
  NamedFiles files = test::idx_files(20, 11);
  test::remove(files, "t10k-labels-idx1-ubyte");
  expect_refused(files, {"set", "t10k-labels-idx1-ubyte (or .gz) expected", "missing"});
  files = test::idx_files(20, 11);
  files.emplace_back("train-images-idx3-ubyte.gz", test::gzip_of(file(files, "train-images-idx3-ubyte")));
  expect_refused(files, {"set/train-images-idx3-ubyte", "one such file expected", "train-images-idx3-ubyte.gz"});
}

TEST(MalformedIdx, one_file_alone_asks_for_its_folder) {
  NamedFiles files = test::idx_files(20, 11);
  expect_refused(test::source("images", file(files, "train-images-idx3-ubyte")),
                 {"images", "four IDX files", "folder"});
}

TEST(MalformedGzip, truncation_damage_and_a_lying_trailer_are_told_apart) {
  const NamedFiles plain = test::idx_files(600, 11);
  const auto with = [&](const std::function<void(ByteVector&)>& damage) {
    NamedFiles files = plain;
    ByteVector bytes = test::gzip_of(file(files, "train-images-idx3-ubyte"));
    damage(bytes);
    test::remove(files, "train-images-idx3-ubyte");
    files.emplace_back("train-images-idx3-ubyte.gz", bytes);
    return files;
  };
  const std::string name = "set/train-images-idx3-ubyte.gz";
  expect_refused(with([](ByteVector& bytes) { bytes.resize(bytes.size() / 2); }), {name, "truncated gzip", "download"});
  expect_refused(with([](ByteVector& bytes) { bytes[bytes.size() - 2] ^= 1; }),
                 {name, "decompressed bytes expected by its gzip trailer", "470,416 found"});
  expect_refused(with([](ByteVector& bytes) { bytes[bytes.size() - 6] ^= 1; }),
                 {name, "CRC", "expected by its gzip trailer", "found"});
}

TEST(MalformedArchive, names_that_leave_the_folder_are_refused) {
  for (const char* name :
       {"../data_batch_2.bin", "folder/../../etc/passwd", "/etc/passwd", "folder/..", "..", "folder\\..\\file"}) {
    expect_archive_refused(archive_with([&](archive_entry* entry) { archive_entry_set_pathname(entry, name); }),
                           {"set.tar.gz", name, "inside the archive's folder expected", "refused"});
  }
}

TEST(MalformedArchive, links_and_devices_are_refused) {
  expect_archive_refused(archive_with([](archive_entry* entry) {
                           archive_entry_set_filetype(entry, AE_IFLNK);
                           archive_entry_set_symlink(entry, "/etc/passwd");
                           archive_entry_set_size(entry, 0);
                         }),
                         {"set.tar.gz", "folder/data_batch_2.bin", "a symbolic link", "refused"});
  expect_archive_refused(archive_with([](archive_entry* entry) {
                           archive_entry_set_hardlink(entry, "folder/data_batch_1.bin");
                           archive_entry_set_size(entry, 0);
                         }),
                         {"set.tar.gz", "folder/data_batch_2.bin", "a hard link", "refused"});
  for (const auto type : {AE_IFIFO, AE_IFCHR, AE_IFBLK}) {
    expect_archive_refused(archive_with([&](archive_entry* entry) {
                             archive_entry_set_filetype(entry, type);
                             archive_entry_set_size(entry, 0);
                           }),
                           {"set.tar.gz", "folder/data_batch_2.bin", "a device, socket or pipe", "refused"});
  }
}

// A ustar header's size field (octal at 124) and checksum (at 148), rewritten.
void lie_about_size(ByteVector& tar, std::size_t header, const char* octal) {
  std::copy_n(octal, 11, tar.begin() + static_cast<std::ptrdiff_t>(header + 124));
  std::fill_n(tar.begin() + static_cast<std::ptrdiff_t>(header + 148), 8, std::uint8_t{' '});
  unsigned sum = 0;
  for (std::size_t i = 0; i < 512; ++i) sum += tar[header + i];
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  std::copy_n(text, 7, tar.begin() + static_cast<std::ptrdiff_t>(header + 148));
}

TEST(MalformedArchive, a_header_that_promises_more_than_there_is_is_named) {
  ByteVector tar = test::tar_of({{"data_batch_1.bin", test::cifar10_records(4)}}, "folder", false);
  lie_about_size(tar, 0, "00000200000");  // 65,536 bytes
  tar.resize(512 + 12'292);
  expect_archive_refused(
      tar, {"set.tar.gz: folder/data_batch_1.bin", "65,536 bytes expected by its header", "12,292 found"});
  expect_archive_refused(test::gzip_of(tar), {"set.tar.gz: folder/data_batch_1.bin",
                                              "65,536 bytes expected by its header", "12,292 found"});
}

TEST(MalformedArchive, a_header_that_promises_gigabytes_is_refused_before_memory_is_taken) {
  ByteVector tar = test::tar_of({{"data_batch_1.bin", test::cifar10_records(4)}}, "folder", false);
  lie_about_size(tar, 0, "77777777777");
  expect_archive_refused(test::gzip_of(tar), {"set.tar.gz", "folder/data_batch_1.bin", "at most 268,435,456 bytes",
                                              "its header says 8,589,934,591"});
}

TEST(MalformedArchive, a_damaged_header_is_refused) {
  ByteVector tar = test::tar_of(test::cifar10_binary(4), "folder", false);
  const std::size_t second = 512 + (4 * 3073 + 511) / 512 * 512;
  tar[second + 10] ^= 0x55;
  expect_archive_refused(tar, {"set.tar.gz", "a tar archive expected", "damage"});
}

TEST(MalformedArchive, a_cut_or_altered_archive_is_refused) {
  ByteVector bytes = test::tar_of(test::cifar10_binary(40), "folder", true);
  ByteVector cut(bytes.begin(), bytes.end() - static_cast<std::ptrdiff_t>(bytes.size() / 3));
  expect_archive_refused(cut, {"set.tar.gz", "truncated gzip", "download it again"});
  bytes[bytes.size() - 7] ^= 1;
  expect_archive_refused(bytes, {"set.tar.gz", "CRC", "expected by its gzip trailer"});
}

TEST(MalformedArchive, a_bomb_is_refused_at_the_limits) {
  const NamedFiles files{{"zeros", ByteVector(1 << 20)}, {"more", ByteVector(1 << 20)}, {"last", {}}};
  const ByteVector bomb = test::tar_of(files, "folder", true);
  ASSERT_LT(bomb.size(), 10'000u);
  struct Case {
    ArchiveLimits limits;
    Parts parts;
  };
  const Case cases[] = {
      {{1'000'000, 5'000'000, 10}, {"bomb: folder/zeros", "at most 1,000,000 bytes", "says 1,048,576"}},
      {{2'000'000, 1'500'000, 10}, {"bomb", "at most 1,500,000 decompressed bytes expected, found more"}},
      {{2'000'000, 5'000'000, 2}, {"bomb", "at most 2 members expected, found more"}},
  };
  for (const Case& c : cases) {
    expect_message(test::message_of([&] { read_archive(bomb, "bomb", c.limits); }), c.parts);
  }
  const ByteVector plain = test::tar_of(files, "folder", false);
  expect_message(test::message_of([&] {
                   read_archive(plain, "bomb", {2'000'000, 2'000'000, 10});
                 }),
                 {"bomb", "at most 2,000,000 bytes of members expected, found more"});
  EXPECT_EQ(read_archive(bomb, "bomb", {2'000'000, 5'000'000, 3}).size(), 3u);
}

TEST(MalformedArchive, an_archive_of_something_else_lists_what_is_known) {
  expect_archive_refused(test::tar_of({{"notes.txt", {'h', 'i'}}}, "folder", true),
                         {"set.tar.gz", "no known data set", "CIFAR binary", "found 1 file"});
}

TEST(MalformedPath, what_is_not_there_or_not_known_is_a_usage_error) {
  const TemporaryFolder place;
  const std::string missing = place.path() / "nothing";
  EXPECT_THROW(load_dataset({missing, false, 0}), UsageError);
  EXPECT_THAT(test::message_of([&] { load_dataset({missing, false, 0}); }), testing::HasSubstr("no such file"));
  EXPECT_THROW(load_dataset({place.path(), false, 0}), UsageError);
  EXPECT_THAT(test::message_of([&] {
                load_dataset({place.path(), false, 0});
              }),
              testing::AllOf(testing::HasSubstr("no known data set"), testing::HasSubstr("found 0 files")));
}

TEST(MalformedPath, several_data_sets_in_a_folder_are_listed_to_choose_from) {
  const TemporaryFolder place;
  for (const char* name : {"one", "two"}) {
    std::filesystem::create_directory(place.path() / name);
    test::write(place.path() / name, test::cifar10_binary(12));
  }
  EXPECT_THAT(test::message_of([&] {
                load_dataset({place.path(), false, 0});
              }),
              testing::AllOf(testing::HasSubstr("/one"), testing::HasSubstr("/two"), testing::HasSubstr("name one")));
}

TEST(MalformedPath, a_synthetic_count_must_be_a_number_in_range) {
  for (const char* path : {"synthetic:", "synthetic:many", "synthetic:9", "synthetic:-20", "synthetic:1e9"}) {
    EXPECT_THAT(test::message_of([&] { load_dataset({path, false, 0}); }), testing::HasSubstr("synthetic:COUNT"));
  }
}

}  // namespace
}  // namespace convoy
