// Any bytes as IDX files, plain or compressed: cut into images and labels, used for training and for testing.
#include "data/idx.hpp"
#include "read_any.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace convoy;
  if (size < 2) return 0;
  const std::span<const std::uint8_t> bytes(data + 2, size - 2);
  const std::size_t cut = bytes.size() * (data[0] + 256u * data[1]) / 65535;
  const Bytes images = copy_of(bytes.first(cut)), labels = copy_of(bytes.subspan(cut));
  const Source source = source_of("input", {{"train-images-idx3-ubyte", images},
                                            {"train-labels-idx1-ubyte", labels},
                                            {"t10k-images-idx3-ubyte", images},
                                            {"t10k-labels-idx1-ubyte", labels}});
  if (recognises_idx(source)) read_or_refuse([&] { return read_idx(source, {"input", false, 0}); });
  return 0;
}
