#include "io/run_summary.hpp"

#include <nlohmann/json.hpp>
#include <system_error>

#include "io/atomic_file.hpp"

namespace convoy {
namespace {

constexpr std::size_t kLargest = 64 << 20;  // bytes

}  // namespace

nlohmann::json read_summary(const std::filesystem::path& run) {
  const std::filesystem::path path = run / "summary.json";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return nullptr;
  const std::vector<std::byte> bytes = read_file(path, kLargest);
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  nlohmann::json summary = nlohmann::json::parse(text, text + bytes.size(), nullptr, false);
  return summary.is_object() ? summary : nullptr;
}

}  // namespace convoy
