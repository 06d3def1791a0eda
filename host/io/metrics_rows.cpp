#include "io/metrics_rows.hpp"

#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "io/atomic_file.hpp"

namespace convoy {
namespace {

constexpr std::size_t kLargest = std::size_t{1} << 32;  // bytes; a row has about two hundred

bool is_of_before(std::string_view line, const RunPosition& position) {
  const nlohmann::json row = nlohmann::json::parse(line, nullptr, false);
  if (!row.is_object()) return false;
  const auto step = row.value("step", std::int64_t{0});
  if (row.value("kind", "") == "epoch" && row.value("epoch", 0) > position.epochs_done) return false;
  return step <= position.step;
}

}  // namespace

void cut_rows_back(const std::filesystem::path& file, const RunPosition& position) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return;
  const std::vector<std::byte> bytes = read_file(file, kLargest);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::size_t kept = 0;
  for (std::size_t end; (end = text.find('\n', kept)) != std::string_view::npos; kept = end + 1) {
    if (!is_of_before(text.substr(kept, end - kept), position)) break;
  }
  if (kept < text.size()) write_file_atomically(file, text.substr(0, kept));
}

}  // namespace convoy
