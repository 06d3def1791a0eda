// The safetensors format: 8 bytes little-endian header size, a JSON header, then the tensors' bytes without holes.
// https://huggingface.co/docs/safetensors. The reader trusts nothing that the header says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace convoy {

enum class TensorType : std::uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };
std::string_view name(TensorType type);  // "F32"
std::size_t bytes_per_element(TensorType type);

// A named tensor somebody else owns; row-major, little-endian.
struct TensorView {
  std::string name;
  TensorType type = TensorType::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};
TensorView view_of(std::string name, std::vector<std::int64_t> shape, std::span<const float> values);
TensorView view_of(std::string name, std::vector<std::int64_t> shape, std::span<const std::int64_t> values);

using TensorMetadata = std::map<std::string, std::string>;

// What was written: the file's size, and its checksum as include/convoy/checksum.hpp defines it.
struct WrittenFile {
  std::uint64_t bytes = 0, checksum = 0;
};

// Atomic; tensors in the order given. Throws where two have one name or a shape does not fit the bytes.
WrittenFile write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors,
                              const TensorMetadata& metadata = {});

// A file read whole; owns its bytes.
class SafetensorsFile {
 public:
  static SafetensorsFile open(const std::filesystem::path& path);
  // From memory; `origin` names it in messages.
  static SafetensorsFile parse(std::vector<std::byte> bytes, const std::string& origin);

  const std::string& origin() const { return origin_; }
  std::span<const std::byte> bytes() const { return bytes_; }          // of the whole file
  const std::vector<TensorView>& tensors() const { return tensors_; }  // in the order of their offsets
  const TensorMetadata& metadata() const { return metadata_; }
  const TensorView* find(std::string_view tensor_name) const;  // null where there is none

  // The values of an F32 tensor of exactly this shape. Throws Error naming file, tensor, expected and found.
  std::vector<float> floats(std::string_view tensor_name, std::span<const std::int64_t> shape) const;
  // Of any shape.
  std::vector<float> floats(std::string_view tensor_name) const;

 private:
  std::string origin_;
  std::vector<std::byte> bytes_;
  std::vector<TensorView> tensors_;
  TensorMetadata metadata_;
};

}  // namespace convoy
