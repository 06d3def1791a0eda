// Any bytes as a tar archive, plain or compressed, and what it holds as a data set. The limits are small, so that the
// fuzzer's memory is enough to find what passes them.
#include "data/archive.hpp"
#include "data/load.hpp"
#include "read_any.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace convoy;
  const std::span<const std::uint8_t> bytes(data, size);
  constexpr ArchiveLimits kLimits{1 << 20, 4 << 20, 100};
  try {
    std::vector<std::pair<std::string, Bytes>> files;
    std::uint64_t total = 0;
    for (ArchiveMember& member : read_archive(bytes, "input", kLimits)) {
      if (member.name.find("../") != std::string::npos || member.name.front() == '/') std::abort();
      total += member.contents.size;
      for (const std::uint8_t byte : member.contents.view()) total += byte == 0 ? 0 : 0;  // every byte can be read
      files.emplace_back(member.name, member.contents);
    }
    if (total > kLimits.total_bytes) std::abort();
    const Source source = source_of("input", std::move(files));
    if (recognise(source) != nullptr) read_or_refuse([&] { return load_dataset(source, {"input", false, 0}); });
  } catch (const Error&) {
  }
  return 0;
}
