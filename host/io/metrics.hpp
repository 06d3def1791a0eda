// What a run reports: rows of metrics.jsonl and the fields of summary.json, as plain structs.
// A test set figure that was not taken is absent, not zero.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace convoy {

// In fp16, see include/convoy/loss_scale.hpp: the least of any rank, and the most steps that any rank has skipped.
struct LossScaleMetrics {
  double scale = 0;
  std::int64_t skipped_updates = 0;
};

struct StepMetrics {
  std::int64_t step = 0;  // optimizer steps taken
  int epoch = 0;          // the epoch that this step belongs to, from 1
  double learning_rate = 0;
  std::int64_t images_seen = 0;
  double images_per_second = 0;  // since the last row
  double loss = 0;               // mean over the global batches since the last row
  std::optional<LossScaleMetrics> loss_scale;
};

struct EpochMetrics {
  int epoch = 0;  // epochs completed
  std::int64_t step = 0;
  double learning_rate = 0;
  std::int64_t images_seen = 0;
  double images_per_second = 0;  // images_seen of this epoch over its training time
  double train_seconds = 0;      // from the first step to the end of this epoch: no start-up, no evaluation
  double train_loss = 0;
  std::optional<double> train_accuracy;
  std::optional<double> test_loss, test_accuracy, test_accuracy_plain;
  std::optional<double> validation_loss, validation_accuracy;
  std::optional<double> weight_distance;  // of the ranks before the last average: see RunResults
  std::optional<LossScaleMetrics> loss_scale;
};

// --on-nan rollback: the state of `to_step` came back at `step`; the steps between count as taken and train nothing.
struct RollbackMetrics {
  std::int64_t step = 0, to_step = 0;
  int epoch = 0;
  std::int64_t images_seen = 0;  // by the weights of to_step
  std::string reason;            // what was not finite, and where that began
};

// What the collectives over arenas cost. A rank waits where it had nothing to compute until one was done.
struct CommunicationResults {
  std::int64_t collectives = 0, bytes = 0;  // of the first rank
  double seconds = 0;                       // from the start of each to its completion
  double exposed_seconds = 0;               // of these, what the first rank waited
  double least_wait_seconds = 0, mean_wait_seconds = 0, most_wait_seconds = 0;  // over the ranks
};

// What a run found out; all but the fields of RunFacts.
struct RunResults {
  std::optional<double> test_accuracy, test_loss;  // with the recipe's views
  std::optional<double> test_accuracy_plain;       // without
  std::vector<double> local_test_accuracy;         // of each rank's own weights before the last average; often empty
  std::optional<double> validation_accuracy, validation_loss;
  std::optional<double> train_loss;
  int stop_signal = 0;  // that ended the run before its end; 0: none
  std::int64_t steps = 0;
  int epochs = 0;  // completed
  std::int64_t images_seen = 0;
  double startup_seconds = 0;     // from the start of the process to the first step
  double train_seconds = 0;       // steps alone
  double evaluation_seconds = 0;  // all evaluations
  double checkpoint_seconds = 0;  // of train_seconds, how long training stood still for checkpoints
  int checkpoints = 0;            // begun
  int rollbacks = 0;
  std::int64_t skipped_steps = 0;  // of `steps`, those that rollbacks left without training
  std::optional<LossScaleMetrics> loss_scale;
  std::uint64_t peak_device_bytes = 0;
  CommunicationResults communication;
  // ||w_r - mean|| / ||mean||, root mean square over the ranks r, before the last average of weights.
  std::optional<double> weight_distance;

  double images_per_second() const {  // of train_seconds
    return train_seconds > 0 ? static_cast<double>(images_seen) / train_seconds : 0;
  }
};

// Of a run that goes on from a checkpoint: what earlier processes did.
struct EarlierWork {
  std::int64_t step = 0;
  int epochs_done = 0;
  std::int64_t images_seen = 0;
  double seconds = 0;   // of all of them
  std::string started;  // UTC, the first of them
};

// What is known before the first step.
struct RunFacts {
  std::string recipe;                // its name
  std::string model;                 // network's name
  std::string data_name;             // "CIFAR-10 (binary)"
  std::string data_origin;           // the path
  std::string data_checksum;         // hexadecimal
  std::int64_t training_images = 0;  // that an epoch takes, over all ranks
  std::string device;                // "cpu (AMD EPYC ..., 2 threads)"
  std::string precision;
  std::int64_t parameters = 0;
  std::int64_t average_bytes = 0;  // that an average over the ranks takes in: weights and statistics
  int world_size = 1;
  std::map<std::string, std::string> versions;  // libraries of the device, e.g. {"onednn", "2.6.3"}
};

}  // namespace convoy
