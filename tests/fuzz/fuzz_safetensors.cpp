// Any bytes: read or refused with an Error, never anything else; what is accepted holds what it claims.
#include <cstdlib>
#include <cstring>

#include "convoy/error.hpp"
#include "io/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  try {
    const auto file = convoy::SafetensorsFile::parse(std::move(bytes), "input");
    std::size_t total = 0;
    for (const convoy::TensorView& tensor : file.tensors()) {
      for (const std::byte byte : tensor.bytes) total += static_cast<std::size_t>(byte) + 1;
      if (tensor.type == convoy::TensorType::f32) total += file.floats(tensor.name).size();
    }
    if (total > 300 * size) std::abort();  // tensors overlap or lie outside
  } catch (const convoy::Error&) {
  }
  return 0;
}
