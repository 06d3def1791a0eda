// Any bytes as a JPEG file.
#include "data/decoders/decoders.hpp"
#include "decode_any.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  convoy::decode_or_refuse(convoy::decode_jpeg, {data, size});
  return 0;
}
