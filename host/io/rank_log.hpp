// ranks/N.jsonl in a run's folder (--log-ranks): what each rank did by itself, beside metrics.jsonl, which has the
// means over all. Every rank writes its own, so that the last lines of a rank that hangs are there too.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "io/metrics_rows.hpp"
#include "io/run_recorder.hpp"

namespace convoy {

// Of one rank, since the last row of the same kind.
struct RankMetrics {
  std::int64_t step = 0;
  int epoch = 0;
  std::int64_t images = 0;               // that it took
  std::optional<double> loss, accuracy;  // mean over those; none where it took none
  double train_seconds = 0;              // from the first step on
  double wait_seconds = 0;               // of these, what its process waited in collectives
};

class RankLog {
 public:
  // Makes RUN/ranks, on a host that does not see the first one's folder too. Throws Error where it cannot be written.
  // `resumed`: where the run goes on from; what is there stays up to that.
  RankLog(const std::filesystem::path& run, int rank, int world_size, const std::string& device,
          const RunRecorder& recorder, const std::optional<RunPosition>& resumed);

  void step(const RankMetrics& row) { append("step", row); }
  void epoch(const RankMetrics& row) { append("epoch", row); }

 private:
  void append(const char* kind, const RankMetrics& row);
  void write(const std::string& line);

  std::filesystem::path path_;
  const RunRecorder& recorder_;  // whose clock counts
  std::ofstream file_;
};

}  // namespace convoy
