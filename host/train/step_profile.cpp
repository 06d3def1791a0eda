// The table is profile/graph-nodes.json in the run's folder; tools/profile joins it to what nsys saw.
#include "train/step_profile.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "io/atomic_file.hpp"

namespace convoy {

StepProfile::StepProfile(const StepSpan& steps, Backend& backend, const LocalRank& rank, std::filesystem::path folder)
    : steps_(steps), backend_(backend), rank_(rank), folder_(std::move(folder)) {}

// The run ended, or failed, before the last of the steps.
StepProfile::~StepProfile() {
  try {
    if (is_on_) backend_.profile(false);
  } catch (...) {  // the reason for the end is worth more than this
  }
}

void StepProfile::before(std::int64_t step) {
  if (step + 1 == steps_.first) is_on_ = backend_.profile(true);
}

void StepProfile::after(std::int64_t step) {
  if (step + 1 != steps_.last || !is_on_) return;
  is_on_ = false;
  backend_.profile(false);
  if (!folder_.empty()) write_table();
}

void StepProfile::write_table() const {
  nlohmann::ordered_json graphs = nlohmann::ordered_json::array();
  for (const RecordedStep& step : rank_.step.recorded()) {
    nlohmann::ordered_json ranges = nlohmann::ordered_json::array();
    for (const RecordedRange& range : step.ranges) ranges.push_back({{"path", range.path}, {"kernels", range.kernels}});
    graphs.push_back({{"name", step.what}, {"ranges", std::move(ranges)}});
  }
  std::filesystem::create_directories(folder_ / "profile");
  write_file_atomically(folder_ / "profile" / "graph-nodes.json",
                        nlohmann::ordered_json{{"graphs", std::move(graphs)}}.dump(1) + "\n");
}

}  // namespace convoy
