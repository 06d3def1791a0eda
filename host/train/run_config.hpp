// The configuration of one run: plain values, as the recipe and the command line together say.
// Quantities are global: batch, epochs, learning rates. host/train/run_options.hpp is the table of all options.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convoy/backend.hpp"
#include "convoy/types.hpp"
#include "nn/schedule.hpp"

namespace convoy {

enum class OptimizerKind : std::uint8_t { sgd, adam, adamw, muon };
using ScheduleKind = Schedule::Kind;
enum class LossReduction : std::uint8_t { mean, sum };
enum class DeviceChoice : std::uint8_t { automatic, cpu, cuda };
enum class Normalisation : std::uint8_t { dataset, unit };  // unit: x / 255
enum class RateScaling : std::uint8_t { none, sqrt, linear };
enum class OuterKind : std::uint8_t { average, slowmo, nesterov };
enum class MomentsRule : std::uint8_t { local, average, reset };
enum class WeightStart : std::uint8_t { common, own };
enum class LabelKind : std::uint8_t { fine, coarse };
enum class OnNan : std::uint8_t { stop, rollback };
enum class DataMode : std::uint8_t { automatic, resident, staged };  // how images reach the device: see DeviceSet

// Everything that may differ between parameter groups.
struct GroupSettings {
  OptimizerKind optimizer = OptimizerKind::sgd;
  double learning_rate = 0.1;
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
  bool decoupled = false;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  bool keras_epsilon = false;
  int muon_iterations = 5;
  ScheduleKind schedule = ScheduleKind::constant;
  double schedule_start = 0;   // triangular: the first rate as a fraction of the learning rate
  double schedule_end = 0;     // the last rate as a fraction of the learning rate (linear, cosine, triangular)
  double schedule_peak = 0.2;  // triangular: where the highest rate lies, as a fraction of all steps
  double warmup_epochs = 0;    // linear from 0; added to warmup_steps
  std::int64_t warmup_steps = 0;
  double until_epoch = 0;  // the schedule ends there and the group is frozen afterwards; 0: the run's end
  bool operator==(const GroupSettings&) const = default;
};

// How weights are averaged, where the policy averages weights; `bucket`: where it averages gradients.
struct AveragingSettings {
  std::string node;   // policy inside a node, beside the world's own; empty: none
  int node_size = 0;  // consecutive ranks that are a node; 0: those of a host
  OuterKind outer = OuterKind::average;
  double outer_learning_rate = -1, outer_momentum = -1;  // -1: what OuterOptimizer has for the kind
  MomentsRule moments = MomentsRule::local;
  int delay = 0;      // steps between an average's start and its use: 0 or 1
  double bucket = 1;  // MB of gradients that leave together; 0: all
};

// Steps from `first` to `last`, counted from 1; 0: none.
struct StepSpan {
  std::int64_t first = 0, last = 0;
};

// What a recipe's table [groups.NAME] says; everything else is inherited from the run's own settings.
// The values lie in `settings`; `given` names the options that were said, as in the table of options.
struct GroupConfig {
  GroupSettings settings;
  std::vector<std::string> given;  // sorted
  bool operator==(const GroupConfig&) const = default;
};

struct RunConfig {
  std::string name = "run";  // the recipe's name; names the default output folder
  std::string description;   // one line, for `info --recipes`

  std::string data;  // a path, or "synthetic[:COUNT]"
  LabelKind labels = LabelKind::fine;
  DataMode data_mode = DataMode::automatic;
  double validation = 0;  // 0 none; below 1 a fraction of the training set; else a count
  Normalisation normalisation = Normalisation::dataset;
  int test_images = 0;  // the first so many are evaluated; 0: all

  std::string model = "seed";  // a zoo network or a file
  std::string init;            // a weights file to start from
  int norm_group_size = 0;     // samples normalised together; 0: the rank's batch

  int epochs = 10;
  int batch = 128;
  std::int64_t steps = 0;  // stop after so many steps, the schedule stays; 0: all
  GroupSettings optimizer;
  std::map<std::string, GroupConfig> groups;
  double clip_norm = 0;  // 0: off
  double label_smoothing = 0;
  LossReduction loss_reduction = LossReduction::mean;

  Augmentation augmentation;
  int views = 1;  // of a test image: 1 as it is, 2 with its mirror, 6 with mirror and shifts

  std::string average;  // see AveragingPolicy; empty: step, where there is more than one rank
  AveragingSettings averaging;
  double ema_decay = 0;  // 0: off; else what is evaluated is an exponential moving average of the weights
  int recalibrate = -1;  // batches over which the evaluated weights' normalisation statistics are taken anew; 0: off;
                         // -1: where ranks make several steps between averages
  int gpus_per_process = 1;  // workers of a process, each a thread with a GPU of its own; 0: a worker for every GPU
  int virtual_ranks = 1;     // ranks that each worker holds and steps in turn
  int batch_per_rank = 0;    // 0: `batch` over all ranks; else `batch` becomes this times the ranks
  RateScaling scale_rate = RateScaling::none;  // of all rates, where batch_per_rank makes another batch of it
  std::string shard = "epoch";                 // see Sharding
  std::int64_t samples_per_rank = 0;           // in an epoch; 0: the ranks share the training set
  WeightStart start = WeightStart::common;     // own: each rank draws its own first weights
  bool local_accuracy = false;                 // also where the policy averages more often than once

  Precision precision = Precision::fp32;
  DeviceChoice device = DeviceChoice::automatic;
  int threads = 0;                               // 0: every core this process may use
  bool graph_collectives = false;                // see ConnectRequest
  bool deterministic = false, autotune = false;  // of a GPU's algorithms; the CPU's always repeat to the bit
  bool graph = true;                             // a step on a GPU is one launch
  std::uint64_t seed = 0;
  int repeat = 1;  // runs, of the seeds from `seed` on; see series.hpp

  double timeout = 60, startup_timeout = 600;  // seconds that a rank may stand still; 0: for ever
  std::string out;                             // empty: runs/NAME-DATE-TIME[-JOBID]
  std::string resume;                          // auto, a checkpoint, or a run; empty: start afresh
  std::string checkpoint_every = "0";          // see CheckpointInterval
  int keep_checkpoints = 2;
  OnNan on_nan = OnNan::stop;   // where loss or weights are no finite numbers any more
  int evaluate_every = 1;       // epochs; 0: at the end only
  int evaluation_batch = 1000;  // images
  int log_every = 100;          // steps between rows of metrics.jsonl; 0: none
  bool log_ranks = false;       // a file for each rank too
  StepSpan profile_steps;

  // Where each option's value comes from, by the option's name: "command line" or "recipe.toml:12".
  std::map<std::string, std::string> origins;
  bool is_from_command_line(const std::string& option) const;

  // The settings of one parameter group: the run's own, and over them what the recipe says of this group.
  GroupSettings group(const std::string& group_name) const;
  std::int64_t steps_to_take(std::int64_t steps_per_epoch) const;  // --steps may end a run before its last epoch
};

// One `--name value` of the command line; a group's is {"group", "NAME.option=value"}.
struct Setting {
  std::string option, value;
};

// The recipe (a shipped name or a file; empty: none) and over it the command line. Throws UsageError: unknown
// options with the nearest known one, wrong values, contradictions; a recipe's faults with file and line.
RunConfig resolve_config(const std::string& recipe, const std::vector<Setting>& command_line);

// One of those options over what `config` has; nothing that two options together contradict is checked.
void apply_setting(RunConfig& config, const Setting& setting);

// A recipe's text alone; `file` is for messages. Checks what resolve_config checks. `read_base` reads the recipe that
// this one names as its `base`, if any; without it a base is a UsageError.
using BaseReader = std::function<RunConfig(const std::string& base, const std::string& where)>;
RunConfig parse_recipe(std::string_view text, const std::string& file, const BaseReader& read_base = {});

// The resolved configuration as a recipe: parse_recipe gives the same configuration back. `out` and
// `resume` are left out.
std::string to_toml(const RunConfig&);

// The same for summary.json: a JSON object, groups nested.
std::string to_json(const RunConfig&);

// Contradictions that no single option shows; throws UsageError. resolve_config calls it.
void check_config(const RunConfig&);

// Compares the recipe's [groups.NAME] with the groups of the network: an unknown one is a UsageError, unless the
// command line chose another network than the recipe's: then the group is dropped, with a line for the user each.
std::vector<std::string> match_groups(RunConfig& config, std::span<const std::string> network_groups);

// Lines worth a user's attention, e.g. an option on the command line that every group of the recipe overrides.
std::vector<std::string> config_warnings(const RunConfig&);

}  // namespace convoy
