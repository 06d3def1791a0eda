#include "train/series.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <numeric>
#include <system_error>
#include <utility>

#include "io/run_summary.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;

// "0.9346 ± 0.0012 (n = 3)", with the sample's standard deviation.
std::string mean_and_deviation(const std::vector<double>& values) {
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return fmt::format("{:.4f} ± {:.4f} (n = {})", mean, std::sqrt(squares / (count - 1)), values.size());
}

}  // namespace

std::vector<RunConfig> runs_of(const RunConfig& config) {
  if (!is_series(config)) return {config};
  std::vector<RunConfig> runs;
  for (int number = 0; number < config.repeat; ++number) {
    RunConfig run = config;
    run.repeat = 1;
    run.seed = config.seed + static_cast<std::uint64_t>(number);
    run.out = (fs::path(config.out) / fmt::format("seed-{}", run.seed)).string();
    runs.push_back(std::move(run));
  }
  return runs;
}

std::optional<RunConfig> stored_series(const fs::path& folder) {
  const fs::path recipe = folder / "recipe.toml";
  std::error_code ignored;
  if (folder.empty() || !fs::exists(recipe, ignored)) return std::nullopt;
  RunConfig config = resolve_config(fs::absolute(recipe).string(), {});
  if (!is_series(config)) return std::nullopt;
  return config;
}

std::string series_table(const RunConfig& series) {
  std::string table = "  seed  test accuracy";
  std::vector<double> accuracies;
  for (const RunConfig& run : runs_of(series)) {
    accuracies.push_back(read_summary(run.out).at("test_accuracy").get<double>());
    table += fmt::format("\n  {:>4}  {:.4f}", run.seed, accuracies.back());
  }
  return table + fmt::format("\n  mean  {}", mean_and_deviation(accuracies));
}

}  // namespace convoy
