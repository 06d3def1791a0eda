// See run_files.hpp.
#include "support/run_files.hpp"

#include <cmath>
#include <fstream>

#include "convoy/error.hpp"
#include "io/safetensors.hpp"

namespace convoy::test {

RunWeights weights_of(const std::filesystem::path& run) {
  const SafetensorsFile file = SafetensorsFile::open(run / "weights.safetensors");
  RunWeights weights;
  for (const TensorView& tensor : file.tensors()) {
    if (tensor.type != TensorType::f32) continue;
    const bool is_statistic = tensor.name.find(".running_") != std::string::npos;
    std::vector<float>& to = is_statistic ? weights.statistics : weights.trained;
    const std::vector<float> values = file.floats(tensor.name);
    to.insert(to.end(), values.begin(), values.end());
  }
  return weights;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  CONVOY_CHECK(a.size() == b.size() && !a.empty(), "{} and {} values cannot be compared", a.size(), b.size());
  double difference = 0, length = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    length += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / length);
}

nlohmann::json summary_of(const std::filesystem::path& run) {
  return nlohmann::json::parse(std::ifstream(run / "summary.json"), nullptr, false);
}

std::vector<nlohmann::json> rows_of(const std::filesystem::path& run, const std::string& kind) {
  std::vector<nlohmann::json> rows;
  std::ifstream metrics(run / "metrics.jsonl");
  for (std::string line; std::getline(metrics, line);) {
    nlohmann::json row = nlohmann::json::parse(line);
    if (row["kind"] == kind) rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace convoy::test
