// Any bytes as a Python pickle, and as a set of one pickled batch used for training and testing.
#include "data/cifar_pickle.hpp"
#include "data/pickle.hpp"
#include "read_any.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace convoy;
  const std::span<const std::uint8_t> bytes(data, size);
  try {
    const Pickle pickle(bytes, "input");
    std::size_t sum = 0;
    for (const PickleValue& value : pickle.list("labels")) sum += static_cast<std::size_t>(value.integer);
    for (const std::uint8_t byte : pickle.array("data").bytes) sum += byte;
    if (pickle.array("data").bytes.size() > size || sum == SIZE_MAX) std::abort();
  } catch (const Error&) {
  }
  for (const bool coarse : {false, true}) {
    read_or_refuse([&] {
      return read_cifar_pickle(source_of("input", {{"data_batch_1", copy_of(bytes)}, {"test_batch", copy_of(bytes)}}),
                               {"input", coarse, 0});
    });
  }
  return 0;
}
