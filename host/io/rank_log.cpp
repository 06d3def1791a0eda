// The names of the fields are those of metrics.jsonl where they mean the same.
#include "io/rank_log.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <system_error>

#include "convoy/error.hpp"
#include "io/host_info.hpp"

namespace convoy {

RankLog::RankLog(const std::filesystem::path& run, int rank, int world_size, const std::string& device,
                 const RunRecorder& recorder, const std::optional<RunPosition>& resumed)
    : path_(run / "ranks" / fmt::format("{}.jsonl", rank)), recorder_(recorder) {
  std::error_code ignored;  // opening the file says what is wrong
  std::filesystem::create_directories(path_.parent_path(), ignored);
  if (resumed) cut_rows_back(path_, *resumed);
  const bool goes_on = resumed && std::filesystem::exists(path_, ignored);
  file_.open(path_, goes_on ? std::ios::app : std::ios::out);
  if (goes_on) return;
  const nlohmann::ordered_json first = {
      {"kind", "rank"}, {"rank", rank}, {"world_size", world_size}, {"host", host_name()}, {"device", device}};
  write(first.dump());
}

void RankLog::append(const char* kind, const RankMetrics& row) {
  nlohmann::ordered_json json = {{"kind", kind},
                                 {"step", row.step},
                                 {"epoch", row.epoch},
                                 {"elapsed_seconds", recorder_.seconds()},
                                 {"train_seconds", row.train_seconds},
                                 {"wait_seconds", row.wait_seconds},
                                 {"images", row.images}};
  if (row.loss) json["loss"] = *row.loss;
  if (row.accuracy) json["accuracy"] = *row.accuracy;
  write(json.dump());
}

void RankLog::write(const std::string& line) {
  file_ << line << '\n' << std::flush;
  CONVOY_CHECK(file_.good(), "{}: cannot be written (--log-ranks)", path_.string());
}

}  // namespace convoy
