// Weights files: what is written is read back to the bit, by us and by Python's safetensors; what lies is refused.
#include "io/safetensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>

#include "convoy/error.hpp"
#include "support/temporary_folder.hpp"

namespace convoy {
namespace {

using testing::HasSubstr;

std::vector<std::byte> file_of(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t size = header.size();
  std::vector<std::byte> bytes(sizeof size + header.size() + data_bytes);
  std::memcpy(bytes.data(), &size, sizeof size);
  std::memcpy(bytes.data() + sizeof size, header.data(), header.size());
  return bytes;
}

std::string refusal(const std::vector<std::byte>& bytes) {
  try {
    SafetensorsFile::parse(bytes, "w.safetensors");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

std::string refusal(const std::string& header, std::size_t data_bytes) { return refusal(file_of(header, data_bytes)); }

std::string tensor(const std::string& name, const std::string& shape, int begin, int end,
                   const std::string& dtype = "F32") {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":[" +
         std::to_string(begin) + "," + std::to_string(end) + "]}";
}

TEST(Safetensors, what_is_written_is_read_back_to_the_bit) {
  const TemporaryFolder folder;
  const std::vector<float> weights = {1.5F, -0.0F, std::numeric_limits<float>::denorm_min(), 3e38F, 0.1F, -7};
  const std::vector<std::int64_t> count = {1LL << 60};
  const std::vector<float> empty;
  const TensorView tensors[] = {view_of("conv1.weight", {2, 3}, weights), view_of("num_batches_tracked", {}, count),
                                view_of("none", {0, 4}, empty)};
  const auto path = folder.path() / "weights.safetensors";
  write_safetensors(path, tensors, {{"format", "pt"}, {"model", "seed \"quoted\" \n"}});

  const SafetensorsFile file = SafetensorsFile::open(path);
  ASSERT_EQ(file.tensors().size(), 3U);
  const std::vector<float> read = file.floats("conv1.weight", std::array<std::int64_t, 2>{2, 3});
  ASSERT_EQ(read.size(), weights.size());
  EXPECT_EQ(std::memcmp(read.data(), weights.data(), weights.size() * sizeof(float)), 0);
  ASSERT_NE(file.find("num_batches_tracked"), nullptr);
  EXPECT_EQ(file.find("num_batches_tracked")->type, TensorType::i64);
  EXPECT_EQ(std::memcmp(file.find("num_batches_tracked")->bytes.data(), count.data(), 8), 0);
  EXPECT_TRUE(file.floats("none").empty());
  EXPECT_EQ(file.metadata().at("model"), "seed \"quoted\" \n");
}

TEST(Safetensors, the_tensors_start_at_a_multiple_of_eight_bytes) {
  const TemporaryFolder folder;
  const std::vector<float> one = {1};
  for (const std::string name : {"a", "ab", "abc", "abcdefghi"}) {
    const TensorView tensors[] = {view_of(name, {1}, one)};
    write_safetensors(folder.path() / "w", tensors);
    std::ifstream file(folder.path() / "w", std::ios::binary);
    std::uint64_t header = 1;
    file.read(reinterpret_cast<char*>(&header), sizeof header);
    EXPECT_EQ(header % 8, 0U);
  }
}

TEST(Safetensors, writing_leaves_no_temporary_file_and_replaces_an_old_one_whole) {
  const TemporaryFolder folder;
  const std::vector<float> first(1000, 1), second(3, 2);
  const auto path = folder.path() / "w.safetensors";
  const TensorView large[] = {view_of("a", {1000}, first)};
  const TensorView small[] = {view_of("a", {3}, second)};
  write_safetensors(path, large);
  write_safetensors(path, small);
  EXPECT_EQ(SafetensorsFile::open(path).floats("a"), second);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(Safetensors, writing_where_there_is_no_folder_names_the_file) {
  const std::vector<float> one = {1};
  const TensorView tensors[] = {view_of("a", {1}, one)};
  try {
    write_safetensors("/nowhere/w.safetensors", tensors);
    FAIL() << "written";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("/nowhere/w.safetensors: cannot be written: No such file"));
  }
}

TEST(Safetensors, the_writer_refuses_two_tensors_of_one_name_and_shapes_that_do_not_fit) {
  const TemporaryFolder folder;
  const std::vector<float> one = {1};
  const TensorView twice[] = {view_of("a", {1}, one), view_of("a", {1}, one)};
  EXPECT_THROW(write_safetensors(folder.path() / "w", twice), Error);
  const TensorView misfit[] = {view_of("a", {2}, one)};
  EXPECT_THROW(write_safetensors(folder.path() / "w", misfit), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Safetensors, a_tensor_of_another_shape_or_type_is_named_with_both) {
  const SafetensorsFile file = SafetensorsFile::parse(
      file_of("{" + tensor("a", "[2,1]", 0, 8) + "," + tensor("b", "[1]", 8, 16, "I64") + "}", 16), "w.safetensors");
  try {
    file.floats("a", std::array<std::int64_t, 1>{2});
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "w.safetensors: tensor 'a': shape [2] expected, [2, 1] found");
  }
  try {
    file.floats("b");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "w.safetensors: tensor 'b': F32 expected, I64 found");
  }
  EXPECT_THROW(file.floats("c"), Error);
}

TEST(Safetensors, a_well_formed_header_by_hand_is_accepted) {
  EXPECT_EQ(refusal("{}", 0), "accepted");
  EXPECT_EQ(refusal("{" + tensor("b", "[1]", 4, 8) + "," + tensor("a", "[1]", 0, 4) + "}   ", 8), "accepted");
  EXPECT_EQ(refusal("{" + tensor("scalar", "[]", 0, 4) + "}", 4), "accepted");
}

TEST(Safetensors, lying_headers_are_refused_with_the_reason) {
  const std::string a = tensor("a", "[1]", 0, 4);
  const struct {
    std::string header;
    std::size_t data;
    const char* reason;
  } cases[] = {
      {"{" + tensor("a", "[2]", 0, 8) + "," + tensor("b", "[1]", 4, 8) + "}", 8, "'b' overlaps the one before it"},
      {"{" + a + "," + tensor("b", "[1]", 0, 4) + "}", 4, "overlaps"},
      {"{" + a + "," + tensor("b", "[1]", 8, 12) + "}", 12, "4 unused bytes before tensor 'b'"},
      {"{" + tensor("a", "[1]", 4, 8) + "}", 8, "4 unused bytes before tensor 'a'"},
      {"{" + a + "}", 5, "1 bytes after the last tensor"},
      {"{}", 3, "3 bytes after the last tensor"},
      {"{" + tensor("a", "[2]", 0, 8) + "}", 4, "lie outside the 4 bytes of data"},
      {"{" + tensor("a", "[1]", 4, 0) + "}", 4, "lie outside"},
      {"{" + tensor("a", "[2]", 0, 4) + "}", 4, "shape [2] of F32 needs 8 bytes, data_offsets give 4"},
      {"{" + tensor("a", "[2]", 0, 4, "F64") + "}", 4, "needs 16 bytes"},
      {"{" + tensor("a", "[4611686018427387904,4]", 0, 4) + "}", 4, "is too large"},
      {"{" + tensor("a", "[9223372036854775807,2,0]", 0, 4) + "}", 4, "needs 0 bytes"},
      {"{" + tensor("a", "[-1]", 0, 4) + "}", 4, "whole numbers from 0 expected"},
      {"{" + tensor("a", "[1.0]", 0, 4) + "}", 4, "whole numbers from 0 expected"},
      {"{" + tensor("a", "[18446744073709551615]", 0, 4) + "}", 4, "whole numbers from 0 expected"},
      {"{" + tensor("a", "[1]", 0, 4, "F33") + "}", 4, "dtype 'F33' is unknown"},
      {"{" + a + "," + a + "}", 4, "the header names 'a' twice"},
      {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "names 'dtype' twice"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"more\":1}}", 4, "and nothing else"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "two whole numbers expected"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "dtype, shape and data_offsets expected"},
      {"{\"a\":7}", 4, "dtype, shape and data_offsets expected"},
      {"{\"__metadata__\":{\"epoch\":3}}", 0, "__metadata__ 'epoch' is no text"},
      {"{\"__metadata__\":[]}", 0, "__metadata__ is no object"},
      {"[]", 0, "no JSON object"},
      {"{", 0, "not JSON"},
      {"", 0, "not JSON"},
      {"{\"a\":{\"shape\":[[[[1]]]]}}", 0, "nested too deeply"},
  };
  for (const auto& one : cases) EXPECT_THAT(refusal(one.header, one.data), HasSubstr(one.reason)) << one.header;
}

TEST(Safetensors, foreign_and_truncated_files_are_refused) {
  EXPECT_THAT(refusal(std::vector<std::byte>(7)), HasSubstr("7 bytes: not a safetensors file"));
  std::vector<std::byte> huge = file_of("{}", 0);
  const std::uint64_t size = 100'000'001;
  std::memcpy(huge.data(), &size, sizeof size);
  EXPECT_THAT(refusal(huge), HasSubstr("a header of 100000001 bytes, at most 100000000"));
  std::vector<std::byte> truncated = file_of("{" + tensor("a", "[1]", 0, 4) + "}", 4);
  truncated.resize(20);
  EXPECT_THAT(refusal(truncated), HasSubstr("12 found: truncated"));
}

TEST(Safetensors, every_single_truncation_is_refused) {
  const std::vector<std::byte> whole =
      file_of("{" + tensor("a", "[2]", 0, 8) + "," + tensor("b", "[1]", 8, 12) + "}", 12);
  EXPECT_EQ(refusal(whole), "accepted");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::vector<std::byte> part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_NE(refusal(part), "accepted") << size;
  }
}

TEST(Safetensors, pythons_reader_sees_the_same_names_shapes_and_values) {
  const char* python = std::getenv("CONVOY_PYTHON");
  const std::string interpreter = python != nullptr ? python : "python3";
  if (std::system((interpreter + " -c 'import safetensors.numpy' 2>/dev/null").c_str()) != 0) {
    GTEST_SKIP() << "no Python with the package safetensors (CONVOY_PYTHON names the interpreter)";
  }
  const TemporaryFolder folder;
  const std::vector<float> weights = {1, 2, 3, 4, 5, 6.5F};
  const std::vector<std::int64_t> steps = {42};
  const TensorView tensors[] = {view_of("head.weight", {2, 3}, weights), view_of("steps", {1}, steps)};
  write_safetensors(folder.path() / "w.safetensors", tensors, {{"model", "seed"}});
  std::ofstream(folder.path() / "check.py") << R"(import sys
from safetensors import safe_open
with safe_open(sys.argv[1], framework="np") as f:
    assert f.metadata() == {"model": "seed"}, f.metadata()
    assert sorted(f.keys()) == ["head.weight", "steps"]
    w = f.get_tensor("head.weight")
    assert w.shape == (2, 3) and w.dtype == "float32" and w.ravel().tolist() == [1, 2, 3, 4, 5, 6.5]
    s = f.get_tensor("steps")
    assert s.dtype == "int64" and s.tolist() == [42]
)";
  const std::string command = interpreter + " '" + (folder.path() / "check.py").string() + "' '" +
                              (folder.path() / "w.safetensors").string() + "'";
  EXPECT_EQ(std::system(command.c_str()), 0);
}

}  // namespace
}  // namespace convoy
