// Any bytes as CIFAR's binary files: alone, and cut into a folder of a names file, a batch and a test batch.
#include "data/cifar_binary.hpp"
#include "read_any.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace convoy;
  const std::span<const std::uint8_t> bytes(data, size);
  for (const bool coarse : {false, true}) {
    read_or_refuse([&] { return read_cifar_binary(source_of("input", copy_of(bytes)), {"input", coarse, 0}); });
  }
  if (size < 2) return 0;
  const std::size_t names = std::min<std::size_t>(data[0], size - 1);
  const auto records = bytes.subspan(1 + names);
  const std::size_t half = records.size() * data[1] / 255;
  const bool hundred = data[0] % 2 == 1;
  read_or_refuse([&] {
    return read_cifar_binary(
        source_of("input", {{hundred ? "fine_label_names.txt" : "batches.meta.txt", copy_of(bytes.subspan(1, names))},
                            {hundred ? "train.bin" : "data_batch_1.bin", copy_of(records.first(half))},
                            {hundred ? "test.bin" : "test_batch.bin", copy_of(records.subspan(half))}}),
        {"input", false, 0});
  });
  return 0;
}
