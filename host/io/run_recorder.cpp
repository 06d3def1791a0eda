// Field names and their order in metrics.jsonl and summary.json: this file alone.
#include "io/run_recorder.hpp"

#include <fmt/format.h>

#include <exception>
#include <nlohmann/json.hpp>
#include <utility>

#include "io/build_info.hpp"
#include "io/host_info.hpp"

namespace convoy {
namespace {

using Json = nlohmann::ordered_json;  // fields stay in the order in which a person reads them

constexpr double kRefreshSeconds = 10;  // a slow disk's tenth of a second is a hundredth of it

template <typename T>
void put(Json& row, const char* field, const std::optional<T>& value) {
  if (value) row[field] = *value;
}

void put(Json& row, const std::optional<LossScaleMetrics>& loss_scale) {
  if (!loss_scale) return;
  row["loss_scale"] = loss_scale->scale;
  row["skipped_updates"] = loss_scale->skipped_updates;
}

// Bytes that are no UTF-8 (a path may hold them) are replaced, so that a summary is always written.
std::string dump(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

Json to_json(const StepMetrics& row, double elapsed) {
  Json json = {{"kind", "step"},
               {"step", row.step},
               {"epoch", row.epoch},
               {"learning_rate", row.learning_rate},
               {"images_seen", row.images_seen},
               {"elapsed_seconds", elapsed},
               {"images_per_second", row.images_per_second},
               {"loss", row.loss}};
  put(json, row.loss_scale);
  return json;
}

Json to_json(const EpochMetrics& row, double elapsed) {
  Json json = {{"kind", "epoch"},
               {"step", row.step},
               {"epoch", row.epoch},
               {"learning_rate", row.learning_rate},
               {"images_seen", row.images_seen},
               {"elapsed_seconds", elapsed},
               {"train_seconds", row.train_seconds},
               {"images_per_second", row.images_per_second},
               {"train_loss", row.train_loss}};
  put(json, "train_accuracy", row.train_accuracy);
  put(json, "test_loss", row.test_loss);
  put(json, "test_accuracy", row.test_accuracy);
  put(json, "test_accuracy_plain", row.test_accuracy_plain);
  put(json, "validation_loss", row.validation_loss);
  put(json, "validation_accuracy", row.validation_accuracy);
  put(json, "weight_distance", row.weight_distance);
  put(json, row.loss_scale);
  return json;
}

Json to_json(const RollbackMetrics& row, double elapsed) {
  return {{"kind", "rollback"},
          {"step", row.step},
          {"epoch", row.epoch},
          {"to_step", row.to_step},
          {"images_seen", row.images_seen},
          {"elapsed_seconds", elapsed},
          {"reason", row.reason}};
}

void put_results(Json& summary, const RunResults& results) {
  put(summary, "test_accuracy", results.test_accuracy);
  put(summary, "test_accuracy_plain", results.test_accuracy_plain);
  put(summary, "test_loss", results.test_loss);
  if (!results.local_test_accuracy.empty()) summary["local_test_accuracy"] = results.local_test_accuracy;
  put(summary, "validation_accuracy", results.validation_accuracy);
  put(summary, "validation_loss", results.validation_loss);
  put(summary, "train_loss", results.train_loss);
  summary["steps"] = results.steps;
  summary["epochs"] = results.epochs;
  summary["images_seen"] = results.images_seen;
  if (results.rollbacks > 0) {
    summary["rollbacks"] = results.rollbacks;
    summary["skipped_steps"] = results.skipped_steps;
  }
  put(summary, results.loss_scale);
}

void put_times(Json& summary, const RunResults& results, double seconds) {
  summary["seconds"] = seconds;
  summary["startup_seconds"] = results.startup_seconds;
  summary["train_seconds"] = results.train_seconds;
  summary["evaluation_seconds"] = results.evaluation_seconds;
  if (results.checkpoints > 0) {
    summary["checkpoint_seconds"] = results.checkpoint_seconds;
    summary["checkpoints"] = results.checkpoints;
  }
  summary["images_per_second"] = results.images_per_second();
  summary["peak_host_bytes"] = peak_host_bytes();
  summary["peak_device_bytes"] = results.peak_device_bytes;
}

void put_communication(Json& summary, const RunResults& results) {
  const CommunicationResults& communication = results.communication;
  summary["communication_seconds"] = communication.seconds;
  summary["exposed_communication_seconds"] = communication.exposed_seconds;
  summary["wait_seconds"] = {{"least", communication.least_wait_seconds},
                             {"mean", communication.mean_wait_seconds},
                             {"most", communication.most_wait_seconds}};
  summary["collectives"] = communication.collectives;
  summary["bytes_sent"] = communication.bytes;
  put(summary, "weight_distance", results.weight_distance);
}

void put_facts(Json& summary, const RunFacts& facts) {
  summary["world_size"] = facts.world_size;
  summary["device"] = facts.device;
  summary["precision"] = facts.precision;
  summary["recipe"] = facts.recipe;
  summary["model"] = facts.model;
  summary["parameters"] = facts.parameters;
  summary["average_bytes"] = facts.average_bytes;
  summary["data"] = facts.data_name;
  summary["data_origin"] = facts.data_origin;
  summary["data_checksum"] = facts.data_checksum;
  summary["training_images"] = facts.training_images;
}

void put_build(Json& summary, const RunFacts& facts) {
  const BuildInfo& build = build_info();
  summary["version"] = build.version;
  summary["commit"] = build.commit;
  summary["dirty"] = build.is_dirty;
  summary["compiler"] = build.compiler;
  summary["build_type"] = build.build_type;
  summary["versions"] = facts.versions;
}

}  // namespace

RunRecorder::RunRecorder(std::optional<RunFolder> folder, std::vector<std::string> command_line,
                         const ProcessClock& clock, Progress& progress)
    : folder_(std::move(folder)),
      command_line_(std::move(command_line)),
      clock_(clock),
      progress_(progress),
      started_(utc_time()) {}

void RunRecorder::start(const RunFacts& facts, const std::string& recipe_toml, const std::string& configuration_json,
                        const ProgressPlan& plan) {
  facts_ = facts;
  configuration_json_ = configuration_json;
  if (!folder_) return;
  folder_->write_text("recipe.toml", recipe_toml);
  write_summary("running", "");
  progress_.begin(plan);
}

void RunRecorder::go_on_after(const EarlierWork& earlier) {
  started_ = earlier.started;
  seconds_before_ = earlier.seconds;
  resumed_at_ = results_.steps = earlier.step;
  results_.epochs = earlier.epochs_done;
  results_.images_seen = earlier.images_seen;
}

void RunRecorder::note(std::string_view line) {
  if (folder_) progress_.line(line);
}

void RunRecorder::tick(const RunResults& so_far) {
  if (!folder_) return;
  progress_.tick(so_far.images_seen);
  const std::lock_guard lock(mutex_);
  results_ = so_far;
}

void RunRecorder::step(const StepMetrics& row) {
  if (!folder_) return;
  folder_->append_line("metrics.jsonl", dump(to_json(row, seconds())));
  progress_.step(row);
  refresh_summary();
}

void RunRecorder::epoch(const EpochMetrics& row) {
  if (!folder_) return;
  folder_->append_line("metrics.jsonl", dump(to_json(row, seconds())));
  progress_.epoch(row);
  refresh_summary();
}

void RunRecorder::rollback(const RollbackMetrics& row) {
  if (!folder_) return;
  folder_->append_line("metrics.jsonl", dump(to_json(row, seconds())));
  progress_.line(fmt::format("rolled back: {}; the weights are those of step {} again, steps {} to {} are skipped",
                             row.reason, row.to_step, row.to_step + 1, row.step));
}

void RunRecorder::finish(const RunResults& results) { end("done", "", results); }

void RunRecorder::stop(const RunResults& results, const std::string& reason) { end("stopped", reason, results); }

void RunRecorder::end(const std::string& state, const std::string& reason, const RunResults& results) {
  if (!folder_) return;
  {
    const std::lock_guard lock(mutex_);
    results_ = results;
    has_ended_ = true;
    write_summary(state, reason);
  }
  progress_.end();
  progress_.line(final_table(facts_, results, seconds(), folder_->path().string()));
}

void RunRecorder::fail(const std::string& reason) noexcept {
  if (!folder_) return;
  try {
    progress_.end();
    const std::lock_guard lock(mutex_);
    has_ended_ = true;
    write_summary("failed", reason);
  } catch (const std::exception&) {
    // The failure that is being reported matters more than that its report cannot be written.
  }
}

// So that a run that is killed says how far it came, too.
void RunRecorder::refresh_summary() {
  const std::lock_guard lock(mutex_);
  const double now = clock_.seconds();
  if (has_ended_ || (refreshed_ && now - *refreshed_ < kRefreshSeconds)) return;
  refreshed_ = now;
  try {
    write_summary("running", "");
  } catch (const std::exception&) {
    // Where the disk stays full, the next row ends the run.
  }
}

void RunRecorder::write_summary(const std::string& state, const std::string& reason) {
  Json summary;
  summary["state"] = state;
  if (!reason.empty()) summary["reason"] = reason;
  put_results(summary, results_);
  put_times(summary, results_, seconds());
  put_communication(summary, results_);
  put_facts(summary, facts_);
  summary["host"] = host_name();
  if (const std::optional<std::string> job = job_id()) summary["job_id"] = *job;
  summary["started"] = started_;
  put(summary, "resumed_at_step", resumed_at_);
  summary["command_line"] = command_line_;
  put_build(summary, facts_);
  summary["configuration"] = configuration_json_.empty() ? Json::object() : Json::parse(configuration_json_);
  folder_->write_text("summary.json", dump(summary, 2) + "\n");
}

}  // namespace convoy
