// A folder of pictures by class becomes a data set; what is wrong with one is said in a line that names the file.
#include "data/picture_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "convoy/error.hpp"
#include "data/decoders/decoders.hpp"
#include "data/load.hpp"
#include "data/statistics.hpp"
#include "support/pictures.hpp"
#include "support/temporary_folder.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;
using test::flat_grey_png;
using test::flat_png;
using test::write_file;
using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class PictureFolder : public testing::Test {
 protected:
  void SetUp() override {
    if (png_library().empty() || jpeg_library().empty()) GTEST_SKIP() << "built without libpng or libjpeg-turbo";
    ::setenv("CONVOY_CACHE", cache().c_str(), 1);
  }
  void TearDown() override { ::unsetenv("CONVOY_CACHE"); }

  fs::path root() const { return place_.path() / "set"; }
  fs::path cache() const { return place_.path() / "cache"; }
  void add(const std::string& file, const test::ByteVector& bytes) const { write_file(root() / file, bytes); }
  Dataset load(const Extent& pictures = {4, 4, 0}) const {
    return load_dataset({.path = root().string(), .pictures = pictures});
  }
  std::string refusal() const {
    return test::message_of([&] { load(); });
  }
  void expect_refused(const std::string& file, const std::string& why) const {
    const std::string message = refusal();
    EXPECT_THAT(message, AllOf(HasSubstr((root() / file).string()), HasSubstr(why)));
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  // Two classes, three pictures to train with and two to test.
  void add_small_set() const {
    add("train/cat/b.png", flat_png(9, 7, 20, 30, 40));
    add("train/cat/a.PNG", flat_grey_png(4, 4, 10));
    add("train/bird/1.jpeg", test::golden_jpeg("colour"));
    add("test/bird/x.png", flat_png(1, 1, 1, 2, 3));
    add("test/cat/y.png", flat_png(5, 50, 4, 5, 6));
  }

  TemporaryFolder place_;
};

std::vector<std::uint8_t> first_pixel(const ImageSet& set, std::size_t image) {
  return {set.at(image), set.at(image) + set.image.channels};
}

TEST_F(PictureFolder, classes_and_files_are_sorted_and_pictures_have_the_size_asked_for) {
  add_small_set();
  const Dataset data = load({6, 8, 0});
  EXPECT_THAT(data.class_names, ElementsAre("bird", "cat"));
  EXPECT_EQ(data.train.image, (Extent{6, 8, 3}));
  EXPECT_THAT(data.train.labels, ElementsAre(0, 1, 1));
  EXPECT_THAT(data.test.labels, ElementsAre(0, 1));
  EXPECT_THAT(first_pixel(data.train, 1), ElementsAre(10, 10, 10));  // grey beside colour
  EXPECT_THAT(first_pixel(data.train, 2), ElementsAre(20, 30, 40));
  EXPECT_THAT(first_pixel(data.test, 0), ElementsAre(1, 2, 3));
  EXPECT_THAT(first_pixel(data.test, 1), ElementsAre(4, 5, 6));
  EXPECT_EQ(data.name, "pictures");
  EXPECT_EQ(data.origin, root().string());
}

TEST_F(PictureFolder, where_all_are_grey_the_set_is_unless_three_channels_are_asked_for) {
  for (const char* name : {"train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"}) {
    add(name, flat_grey_png(2, 3, 50));
  }
  add("train/b/2.jpg", test::golden_jpeg("grey"));
  const Dataset grey = load();
  EXPECT_EQ(grey.train.image, (Extent{4, 4, 1}));
  EXPECT_EQ(grey.test.image, (Extent{4, 4, 1}));
  EXPECT_EQ(grey.train.images, (std::vector<std::uint8_t>(grey.train.pixels(), grey.train.pixels() + 48)));
  EXPECT_EQ(first_pixel(grey.train, 0).front(), 50);
  EXPECT_EQ(load({4, 4, 3}).train.image.channels, 3);
  add("test/b/2.png", flat_png(2, 2, 255, 0, 0));
  EXPECT_EQ(load().train.image.channels, 3);
  const Dataset asked = load({4, 4, 1});
  EXPECT_EQ(asked.train.image.channels, 1);
  EXPECT_THAT(first_pixel(asked.test, 2), ElementsAre(76));  // red's luminance
}

TEST_F(PictureFolder, without_a_test_folder_a_tenth_of_each_class_is_held_out_the_same_ones_each_time) {
  for (int i = 0; i < 40; ++i) {
    add(fmt::format("train/a/{:02}.png", i), flat_grey_png(4, 4, static_cast<std::uint8_t>(i)));
    if (i < 20) add(fmt::format("train/b/{:02}.png", i), flat_grey_png(4, 4, static_cast<std::uint8_t>(100 + i)));
  }
  const Dataset data = load();
  EXPECT_THAT(class_counts(data.train, 2), ElementsAre(36u, 18u));
  EXPECT_THAT(class_counts(data.test, 2), ElementsAre(4u, 2u));
  std::set<int> seen;
  for (const ImageSet* set : {&data.train, &data.test}) {
    for (std::size_t i = 0; i < set->count(); ++i) {
      const int pixel = *set->at(i);
      EXPECT_EQ(set->labels[i], pixel >= 100 ? 1 : 0);
      EXPECT_TRUE(seen.insert(pixel).second) << pixel << " is in both";
    }
  }
  EXPECT_EQ(seen.size(), 60u);
  EXPECT_THAT(data.notes, Contains(AllOf(HasSubstr("no folder test/"), HasSubstr("6 of its 60 pictures"))));
  fs::remove_all(cache());
  EXPECT_EQ(load().checksum, data.checksum);
}

TEST_F(PictureFolder, classes_may_lie_in_the_folder_itself_and_pictures_in_folders_of_a_class) {
  for (const char* name : {"a/1.png", "a/2.png", "a/3.png", "b/1.png", "b/2.png", "b/deep/deeper/3.png"}) {
    add(name, flat_grey_png(3, 3, 9));
  }
  const Dataset data = load();
  EXPECT_THAT(data.class_names, ElementsAre("a", "b"));
  EXPECT_EQ(data.train.count() + data.test.count(), 6u);
}

TEST_F(PictureFolder, what_file_managers_leave_behind_is_passed_over) {
  add_small_set();
  for (const char* name : {"train/cat/.DS_Store", "train/cat/Thumbs.db", "train/.hidden/x.png", "train/notes.txt"}) {
    add(name, {'x'});
  }
  EXPECT_EQ(load().train.count(), 3u);
}

TEST_F(PictureFolder, a_name_says_nothing_about_the_contents) {
  add_small_set();
  add("train/cat/c.jpg", flat_png(2, 2, 90, 91, 92));
  EXPECT_THAT(first_pixel(load().train, 3), ElementsAre(90, 91, 92));
}

TEST_F(PictureFolder, an_empty_class_is_named) {
  add_small_set();
  fs::create_directories(root() / "train/dog");
  expect_refused("train/dog", "a class without pictures");
}

TEST_F(PictureFolder, a_broken_picture_is_named_the_first_of_several) {
  add_small_set();
  add("train/cat/c.png", {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0});
  add("train/cat/d.png", {});
  expect_refused("train/cat/c.png", "broken PNG");
  fs::remove(root() / "train/cat/c.png");
  expect_refused("train/cat/d.png", "an empty file");
}

TEST_F(PictureFolder, a_wrong_extension_is_named) {
  add_small_set();
  add("train/cat/c.gif", {'G', 'I', 'F'});
  expect_refused("train/cat/c.gif", ".png, .jpg or .jpeg");
}

TEST_F(PictureFolder, a_class_of_one_part_alone_is_named) {
  add_small_set();
  add("test/dog/1.png", flat_png(2, 2, 1, 1, 1));
  expect_refused("test/dog", "a class that");
  fs::remove_all(root() / "test/dog");
  add("train/dog/1.png", flat_png(2, 2, 1, 1, 1));
  expect_refused("train/dog", "a class that");
}

TEST_F(PictureFolder, a_picture_beside_the_classes_and_a_single_class_are_named) {
  add_small_set();
  add("train/stray.png", flat_png(2, 2, 1, 1, 1));
  expect_refused("train/stray.png", "beside the classes' folders");
  fs::remove(root() / "train/stray.png");
  fs::remove_all(root() / "train/cat");
  expect_refused("train", "at least 2 classes expected, found 1");
}

TEST_F(PictureFolder, a_class_name_that_cannot_be_printed_is_refused) {
  add_small_set();
  add("train/new\nline/1.png", flat_png(2, 2, 1, 1, 1));
  EXPECT_THAT(refusal(), AllOf(HasSubstr("new?line"), HasSubstr("rename the folder")));
  fs::remove_all(root() / "train/new\nline");
  add("train/\xff/1.png", flat_png(2, 2, 1, 1, 1));
  EXPECT_THAT(refusal(), HasSubstr("rename the folder"));
  fs::remove_all(root() / "train/\xff");
  add("train/k\xc3\xa4tzchen/1.png", flat_png(2, 2, 1, 1, 1));
  add("test/k\xc3\xa4tzchen/1.png", flat_png(2, 2, 1, 1, 1));
  EXPECT_THAT(load().class_names, Contains("k\xc3\xa4tzchen"));
}

TEST_F(PictureFolder, a_validation_folder_is_read_where_there_is_no_test_folder_and_named_where_there_is) {
  add_small_set();
  add("val/bird/1.png", flat_png(2, 2, 1, 1, 1));
  EXPECT_EQ(load().test.count(), 2u);
  EXPECT_THAT(load().notes, Contains(HasSubstr("val: not read")));
  fs::remove_all(root() / "test");
  add("val/cat/1.png", flat_png(2, 2, 1, 1, 1));
  add("val/cat/2.png", flat_png(2, 2, 1, 1, 1));
  const Dataset data = load();
  EXPECT_EQ(data.train.count(), 3u);
  EXPECT_EQ(data.test.count(), 3u);
  EXPECT_THAT(data.notes, Contains(HasSubstr("val: read as the test images")));
}

TEST_F(PictureFolder, a_test_folder_alone_and_a_single_class_are_named) {
  add_small_set();
  fs::remove_all(root() / "train");
  EXPECT_THAT(refusal(), HasSubstr("no train/ beside it"));
  fs::remove_all(root() / "test");
  add("cat/1.png", flat_png(2, 2, 1, 1, 1));
  EXPECT_THAT(refusal(), HasSubstr("at least 2 classes expected, found 1, cat"));
}

TEST_F(PictureFolder, other_folders_are_none) {
  fs::create_directories(root() / "only/pictures.png.d");
  EXPECT_FALSE(recognises_picture_folder(open_source(root().string())));
  add("one/1.png", flat_png(2, 2, 1, 1, 1));
  EXPECT_FALSE(recognises_picture_folder(open_source(root().string())));
}

TEST_F(PictureFolder, the_second_time_the_decoded_pictures_are_taken_and_are_the_same) {
  add_small_set();
  const Dataset first = load();
  EXPECT_THAT(first.notes, Contains(HasSubstr("kept decoded in " + cache().string())));
  const Dataset second = load();
  EXPECT_THAT(second.notes, Contains(HasSubstr("decoded before: taken from " + cache().string())));
  EXPECT_NE(second.train.mapped, nullptr);
  EXPECT_EQ(second.checksum, first.checksum);
  EXPECT_EQ(second.train.labels, first.train.labels);
  EXPECT_EQ(second.class_names, first.class_names);
  EXPECT_TRUE(
      std::equal(first.train.pixels(), first.train.pixels() + first.train.pixel_bytes(), second.train.pixels()));
  EXPECT_NE(load({5, 5, 0}).train.image, first.train.image);
  EXPECT_EQ(load().checksum, first.checksum);
}

TEST_F(PictureFolder, a_changed_picture_is_decoded_again) {
  add_small_set();
  load();
  add("train/cat/b.png", flat_png(9, 7, 21, 30, 40));  // as many bytes; another time
  fs::last_write_time(root() / "train/cat/b.png", fs::file_time_type::clock::now() + std::chrono::seconds(5));
  const Dataset again = load();
  EXPECT_THAT(again.notes, Not(Contains(HasSubstr("decoded before"))));
  EXPECT_THAT(first_pixel(again.train, 2), ElementsAre(21, 30, 40));
  add("train/cat/z.png", flat_png(2, 2, 7, 7, 7));
  EXPECT_EQ(load().train.count(), 4u);
}

TEST_F(PictureFolder, damaged_kept_files_are_made_anew) {
  add_small_set();
  const Dataset whole = load();
  const fs::path kept = fs::directory_iterator(cache() / "data")->path();
  const auto size = fs::file_size(kept);
  const auto expect_made_anew = [&](const char* how) {
    const Dataset data = load();
    EXPECT_EQ(data.checksum, whole.checksum) << how;
    EXPECT_THAT(data.notes, Not(Contains(HasSubstr("decoded before")))) << how;
    EXPECT_THAT(load().notes, Contains(HasSubstr("decoded before"))) << how;
  };
  for (const std::uintmax_t cut : {std::uintmax_t{0}, std::uintmax_t{12}, std::uintmax_t{40}, size - 1}) {
    fs::resize_file(kept, cut);
    expect_made_anew("cut");
  }
  for (const std::uintmax_t at : {std::uintmax_t{3}, std::uintmax_t{12}, std::uintmax_t{30}, size - 40}) {
    std::fstream file(kept, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file.put('\x7f');
    file.close();
    expect_made_anew("damaged");
  }
}

TEST_F(PictureFolder, without_a_place_to_keep_them_pictures_are_decoded_all_the_same) {
  add_small_set();
  const Dataset kept = load();
  write_file(place_.path() / "file", {'x'});
  ::setenv("CONVOY_CACHE", (place_.path() / "file").c_str(), 1);
  const Dataset data = load();
  EXPECT_EQ(data.checksum, kept.checksum);
  EXPECT_THAT(data.notes, Contains(HasSubstr("set CONVOY_CACHE")));
}

}  // namespace
}  // namespace convoy
