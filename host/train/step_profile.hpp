// --profile-steps: tells a profiler which steps to record, and leaves a table of what is captured where beside them.
#pragma once

#include <cstdint>
#include <filesystem>

#include "train/local_rank.hpp"

namespace convoy {

class StepProfile {
 public:
  // `folder` is the run's; empty: this worker writes no table. The rest outlives it.
  StepProfile(const StepSpan& steps, Backend& backend, const LocalRank& rank, std::filesystem::path folder);
  ~StepProfile();
  StepProfile(const StepProfile&) = delete;
  StepProfile& operator=(const StepProfile&) = delete;

  // Steps count from 0.
  void before(std::int64_t step);
  void after(std::int64_t step);

 private:
  void write_table() const;

  StepSpan steps_;
  Backend& backend_;
  const LocalRank& rank_;
  std::filesystem::path folder_;
  bool is_on_ = false;
};

}  // namespace convoy
