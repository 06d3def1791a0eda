// What a run left in its folder, for tests that compare runs.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace convoy::test {

// Of weights.safetensors, tensor after tensor.
struct RunWeights {
  std::vector<float> trained, statistics;  // statistics: running means and variances; empty without normalisation
  bool operator==(const RunWeights&) const = default;
};
RunWeights weights_of(const std::filesystem::path& run);

// ||a - b|| / ||b||.
double distance(const std::vector<float>& a, const std::vector<float>& b);

nlohmann::json summary_of(const std::filesystem::path& run);

// The rows of metrics.jsonl of one kind, "step" or "epoch".
std::vector<nlohmann::json> rows_of(const std::filesystem::path& run, const std::string& kind);

}  // namespace convoy::test
