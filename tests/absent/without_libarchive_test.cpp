// A build without libarchive names the file that it cannot read and says what to do, and reads all others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "convoy/error.hpp"
#include "data/load.hpp"
#include "support/data_files.hpp"
#include "support/temporary_folder.hpp"

namespace convoy {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string message_for(const std::filesystem::path& path) {
  return test::message_of([&] { load_dataset({path.string(), false, 0}); });
}

TEST(WithoutLibarchive, a_compressed_file_is_named_with_what_to_do) {
  const TemporaryFolder place;
  const test::ByteVector gzip = {0x1F, 0x8B, 8, 0, 0, 0};
  test::write(place.path(), {{"set.tar.gz", gzip}});
  EXPECT_THAT(message_for(place.path() / "set.tar.gz"), AllOf(StartsWith((place.path() / "set.tar.gz").string()),
                                                              HasSubstr("no libarchive"), HasSubstr("tar -xf")));
  EXPECT_THAT(message_for(place.path()), HasSubstr("set.tar.gz: this build has no libarchive"));
}

TEST(WithoutLibarchive, a_plain_archive_is_named_too) {
  const TemporaryFolder place;
  test::ByteVector tar(1024);
  std::ranges::copy(std::string("ustar"), tar.begin() + 257);
  test::write(place.path(), {{"set.tar", tar}});
  EXPECT_THAT(message_for(place.path() / "set.tar"), HasSubstr("set.tar: this build has no libarchive"));
}

TEST(WithoutLibarchive, what_is_unpacked_is_read_though_its_archive_lies_beside_it) {
  const TemporaryFolder place;
  test::NamedFiles files = test::cifar10_binary(12);
  files.emplace_back("set.tar.gz", test::ByteVector{0x1F, 0x8B, 8, 0, 0, 0});
  test::write(place.path(), files);
  EXPECT_EQ(load_dataset({place.path().string(), false, 0}).train.count(), 24u);
}

}  // namespace
}  // namespace convoy
