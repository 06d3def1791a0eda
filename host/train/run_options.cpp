// The table itself, and text <-> value for the few types that options have.
#include "train/run_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "convoy/error.hpp"
#include "data/shards.hpp"
#include "io/did_you_mean.hpp"
#include "train/averaging_policy.hpp"
#include "train/checkpoint/checkpoint_interval.hpp"

namespace convoy {
namespace {

// The words of each enumeration, in the enumeration's order.
template <typename E>
struct Words;
template <>
struct Words<OptimizerKind> {
  static constexpr std::string_view all = "sgd|adam|adamw|muon";
};
template <>
struct Words<ScheduleKind> {
  static constexpr std::string_view all = "constant|linear|cosine|triangular";
};
template <>
struct Words<LossReduction> {
  static constexpr std::string_view all = "mean|sum";
};
template <>
struct Words<DeviceChoice> {
  static constexpr std::string_view all = "auto|cpu|cuda";
};
template <>
struct Words<Normalisation> {
  static constexpr std::string_view all = "dataset|unit";
};
template <>
struct Words<LabelKind> {
  static constexpr std::string_view all = "fine|coarse";
};
template <>
struct Words<DataMode> {
  static constexpr std::string_view all = "auto|resident|staged";
};
template <>
struct Words<OnNan> {
  static constexpr std::string_view all = "stop|rollback";
};
template <>
struct Words<OuterKind> {
  static constexpr std::string_view all = "average|slowmo|nesterov";
};
template <>
struct Words<MomentsRule> {
  static constexpr std::string_view all = "local|average|reset";
};
template <>
struct Words<RateScaling> {
  static constexpr std::string_view all = "none|sqrt|linear";
};
template <>
struct Words<WeightStart> {
  static constexpr std::string_view all = "common|own";
};
template <>
struct Words<Flip> {
  static constexpr std::string_view all = "none|random|alternating";
};
template <>
struct Words<Precision> {
  static constexpr std::string_view all = "fp32|tf32|bf16|fp16";
};

std::vector<std::string_view> split(std::string_view words) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t bar = words.find('|');
    parts.push_back(words.substr(0, bar));
    if (bar == std::string_view::npos) return parts;
    words.remove_prefix(bar + 1);
  }
}

template <typename E>
requires std::is_enum_v<E>
void parse(std::string_view text, E& value) {
  const std::vector<std::string_view> words = split(Words<E>::all);
  const auto found = std::find(words.begin(), words.end(), text);
  if (found == words.end()) {
    fail_usage("one of {} expected, '{}' found{}", Words<E>::all, text, did_you_mean(text, words));
  }
  value = static_cast<E>(found - words.begin());
}

template <typename E>
requires std::is_enum_v<E> std::string print(const E& value) {
  return std::string(split(Words<E>::all)[static_cast<std::size_t>(value)]);
}

void parse(std::string_view text, std::string& value) { value = text; }
std::string print(const std::string& value) { return value; }

void parse(std::string_view text, bool& value) {
  if (text != "true" && text != "false") fail_usage("true or false expected, '{}' found", text);
  value = text == "true";
}
std::string print(const bool& value) { return value ? "true" : "false"; }

template <typename N>
requires(std::is_arithmetic_v<N> && !std::is_same_v<N, bool>) void parse(std::string_view text, N& value) {
  constexpr std::string_view expected = std::is_integral_v<N> ? "a whole number" : "a number";
  N parsed{};
  const char* end = text.data() + text.size();
  const std::from_chars_result result = std::from_chars(text.data(), end, parsed);
  const bool is_read = result.ec == std::errc{} && result.ptr == end;
  if (result.ec == std::errc::result_out_of_range) fail_usage("{} is out of range", text);
  if (!is_read) fail_usage("{} expected, '{}' found", expected, text);
  if constexpr (std::is_floating_point_v<N>) {
    if (!std::isfinite(parsed)) fail_usage("a finite number expected, '{}' found", text);
  }
  value = parsed;
}
template <typename N>
requires(std::is_arithmetic_v<N> && !std::is_same_v<N, bool>) std::string print(const N& value) {
  return fmt::format("{}", value);  // shortest text that reads back as the same value
}

// The member that a path of member pointers leads to.
template <typename Root, auto... path>
void set(Root& root, std::string_view text) {
  parse(text, (root.*....*path));
}
template <typename Root, auto... path>
std::string get(const Root& root) {
  return print((root.*....*path));
}

void set_evaluate_every(RunConfig& config, std::string_view text) {
  if (text == "end") {
    config.evaluate_every = 0;
    return;
  }
  int epochs = 0;
  parse(text, epochs);
  if (epochs == 0) fail_usage("a number of epochs from 1, or end, expected, '{}' found", text);
  config.evaluate_every = epochs;
}
std::string get_evaluate_every(const RunConfig& config) {
  return config.evaluate_every == 0 ? "end" : print(config.evaluate_every);
}

void set_gpus_per_process(RunConfig& config, std::string_view text) {
  if (text == "all") {
    config.gpus_per_process = 0;
    return;
  }
  int gpus = 0;
  parse(text, gpus);
  if (gpus < 1) fail_usage("a number of GPUs from 1, or all, expected, '{}' found", text);
  config.gpus_per_process = gpus;
}
std::string get_gpus_per_process(const RunConfig& config) {
  return config.gpus_per_process == 0 ? "all" : print(config.gpus_per_process);
}

void set_views(RunConfig& config, std::string_view text) {
  int views = 0;
  parse(text, views);
  if (views != 1 && views != 2 && views != 6) fail_usage("1, 2 or 6 expected, '{}' found", text);
  config.views = views;
}

void set_profile_steps(RunConfig& config, std::string_view text) {
  const std::size_t colon = text.find(':');
  StepSpan steps;
  if (!text.empty()) {
    if (colon == std::string_view::npos) fail_usage("FIRST:LAST expected, as in 11:30, '{}' found", text);
    parse(text.substr(0, colon), steps.first);
    parse(text.substr(colon + 1), steps.last);
    if (steps.first < 1 || steps.last < steps.first) {
      fail_usage("a first step from 1 and a last that is no earlier expected, '{}' found", text);
    }
  }
  config.profile_steps = steps;
}
std::string get_profile_steps(const RunConfig& config) {
  const StepSpan& steps = config.profile_steps;
  return steps.first == 0 ? "" : fmt::format("{}:{}", steps.first, steps.last);
}

void set_average(RunConfig& config, std::string_view text) { config.average = AveragingPolicy::parse(text).text(); }

void set_average_node(RunConfig& config, std::string_view text) {
  if (!text.empty() && AveragingPolicy::parse(text).ever_averages_gradients()) {
    fail_usage("a policy that averages weights expected, '{}' found", text);
  }
  config.averaging.node = text;
}
void set_shard(RunConfig& config, std::string_view text) { config.shard = Sharding::parse(text).text(); }

void set_checkpoint_every(RunConfig& config, std::string_view text) {
  CheckpointInterval::parse(text);
  config.checkpoint_every = text;
}

void set_validation(RunConfig& config, std::string_view text) {
  double share = 0;
  parse(text, share);
  if (share >= 1 && share != std::floor(share)) {
    fail_usage("a whole number of images, or a fraction below 1, expected, '{}' found", text);
  }
  config.validation = share;
}

using enum OptionGroup;
using enum ValueKind;
constexpr OnResume kFixed = OnResume::fixed;
constexpr OnResume kMayChange = OnResume::may_change;
constexpr double kMost = 1e9;                        // more than any sensible count; keeps products in 64 bits
constexpr double kBelowOne = 0.999999;               // of a decay: 1 would keep the first value for ever
constexpr double kLeastEpsilon = 1e-30;              // 0 divides by zero where a gradient stays zero
constexpr double kMostSeed = 9223372036854775807.0;  // a recipe's integers are signed

#define RUN(...) &set<RunConfig, __VA_ARGS__>, &get<RunConfig, __VA_ARGS__>
#define GROUP(member) &set<GroupSettings, &GroupSettings::member>, &get<GroupSettings, &GroupSettings::member>
#define SHARED(member) RUN(&RunConfig::optimizer, &GroupSettings::member)
#define AVERAGING(member) RUN(&RunConfig::averaging, &AveragingSettings::member)
#define AUGMENTATION(member) RUN(&RunConfig::augmentation, &Augmentation::member)

// clang-format off
constexpr RunOption kRunOptions[] = {
  {"data", common, text, "PATH", "folder, archive or file with the images, or 'synthetic'; see convoy data --help", kMayChange, RUN(&RunConfig::data)},
  {"model", common, text, "NAME|FILE", "network: a name from 'convoy info --models', or a JSON file", kFixed, RUN(&RunConfig::model)},
  {"epochs", common, integer, "E", "passes over the training set", kMayChange, RUN(&RunConfig::epochs), 1, 1e6},
  {"batch", common, integer, "B", "images per step, over all ranks", kFixed, RUN(&RunConfig::batch), 1, 1 << 20},
  {"optimizer", common, word, Words<OptimizerKind>::all, "update rule", kFixed, SHARED(optimizer)},
  {"learning-rate", common, real, "L", "highest rate of the schedule, for the global batch", kFixed, SHARED(learning_rate), 0, kMost},
  {"precision", common, word, Words<Precision>::all, "compute type; weights, sums and loss stay fp32", kFixed, RUN(&RunConfig::precision)},
  {"device", common, word, Words<DeviceChoice>::all, "where to compute", kMayChange, RUN(&RunConfig::device)},
  {"seed", common, integer, "S", "of every random draw", kFixed, RUN(&RunConfig::seed), 0, kMostSeed},
  {"repeat", common, integer, "N", "train the seeds S to S+N-1, each in DIR/seed-S, with data and plans made once", kMayChange, RUN(&RunConfig::repeat), 1, 10000},
  {"steps", common, integer, "N", "stop after N steps, the schedule stays; 0: all", kMayChange, RUN(&RunConfig::steps), 0, 1e15},
  {"out", common, text, "DIR", "the run's folder [runs/RECIPE-DATE-TIME]", kMayChange, RUN(&RunConfig::out)},
  {"checkpoint-every", common, text, "N|TIME", "save the run's state every N steps, or every 90s, 5m, 2h; 0: only where a signal stops it", kMayChange, &set_checkpoint_every, &get<RunConfig, &RunConfig::checkpoint_every>},
  {"resume", common, text, "auto|PATH", "go on from the last checkpoint in --out, or start there afresh (auto); or from this one", kMayChange, RUN(&RunConfig::resume)},
  {"threads", common, integer, "T", "processor threads; 0: every core allowed", kMayChange, RUN(&RunConfig::threads), 0, 4096},

  {"labels", OptionGroup::data, word, Words<LabelKind>::all, "which labels of CIFAR-100", kFixed, RUN(&RunConfig::labels)},
  {"data-mode", OptionGroup::data, word, Words<DataMode>::all, "images lie on the device (resident), or come there batch by batch beside the step (staged); auto: resident where they take at most half of its free memory", kMayChange, RUN(&RunConfig::data_mode)},
  {"validation", OptionGroup::data, real, "COUNT|FRACTION", "hold out part of the training set, equally of each class; the test set is then read once, at the end", kFixed, &set_validation, &get<RunConfig, &RunConfig::validation>, 0, kMost},
  {"normalisation", OptionGroup::data, word, Words<Normalisation>::all, "by the data set's mean and deviation, or x/255", kFixed, RUN(&RunConfig::normalisation)},
  {"test-images", OptionGroup::data, integer, "N", "evaluate on the first N test images; 0: all", kMayChange, RUN(&RunConfig::test_images), 0, kMost},

  {"init", OptionGroup::model, text, "FILE", "start from these weights (safetensors)", kFixed, RUN(&RunConfig::init)},
  {"norm-group-size", OptionGroup::model, integer, "N", "images that batch normalisation sees together; 0: the rank's batch", kFixed, RUN(&RunConfig::norm_group_size), 0, 1 << 20},

  {"momentum", OptionGroup::optimizer, real, "M", "of sgd and muon", kFixed, SHARED(momentum), 0, 1},
  {"nesterov", OptionGroup::optimizer, boolean, "", "Nesterov's momentum", kFixed, SHARED(nesterov)},
  {"weight-decay", OptionGroup::optimizer, real, "D", "added to the gradient (sgd, adam) or decoupled (adamw, muon)", kFixed, SHARED(weight_decay), 0, kMost},
  {"decoupled", OptionGroup::optimizer, boolean, "", "decoupled weight decay for sgd too", kFixed, SHARED(decoupled)},
  {"beta1", OptionGroup::optimizer, real, "B", "Adam's first-moment decay", kFixed, SHARED(beta1), 0, kBelowOne},
  {"beta2", OptionGroup::optimizer, real, "B", "Adam's second-moment decay", kFixed, SHARED(beta2), 0, kBelowOne},
  {"epsilon", OptionGroup::optimizer, real, "E", "Adam's epsilon", kFixed, SHARED(epsilon), kLeastEpsilon, 1},
  {"keras-epsilon", OptionGroup::optimizer, boolean, "", "add epsilon before the bias correction, as Keras does", kFixed, SHARED(keras_epsilon)},
  {"muon-iterations", OptionGroup::optimizer, integer, "N", "Newton-Schulz steps", kFixed, SHARED(muon_iterations), 1, 100},
  {"schedule", OptionGroup::optimizer, word, Words<ScheduleKind>::all, "of the learning rate", kFixed, SHARED(schedule)},
  {"schedule-start", OptionGroup::optimizer, real, "F", "triangular: first rate, as a fraction of the learning rate", kFixed, SHARED(schedule_start), 0, 1},
  {"schedule-end", OptionGroup::optimizer, real, "F", "last rate, as a fraction of the learning rate", kFixed, SHARED(schedule_end), 0, 1},
  {"schedule-peak", OptionGroup::optimizer, real, "F", "triangular: where the peak lies, as a fraction of all steps", kFixed, SHARED(schedule_peak), 0, 1},
  {"warmup-epochs", OptionGroup::optimizer, real, "E", "epochs of linear warm-up from 0", kFixed, SHARED(warmup_epochs), 0, 1e6},
  {"warmup-steps", OptionGroup::optimizer, integer, "N", "steps of linear warm-up from 0, in addition", kFixed, SHARED(warmup_steps), 0, 1e12},
  {"clip-norm", OptionGroup::optimizer, real, "C", "longest gradient, all tensors together; 0: off", kFixed, RUN(&RunConfig::clip_norm), 0, kMost},
  {"label-smoothing", OptionGroup::optimizer, real, "A", "share of the target spread over all classes", kFixed, RUN(&RunConfig::label_smoothing), 0, 0.999},
  {"loss-reduction", OptionGroup::optimizer, word, Words<LossReduction>::all, "over the global batch", kFixed, RUN(&RunConfig::loss_reduction)},

  {"flip", OptionGroup::augmentation, word, Words<Flip>::all, "mirror images: at random each time, or once and then every other epoch", kFixed, AUGMENTATION(flip)},
  {"translate", OptionGroup::augmentation, integer, "PIXELS", "random shift, reflect padding", kFixed, AUGMENTATION(translate), 0, 64},
  {"cutout", OptionGroup::augmentation, integer, "PIXELS", "side of a square put to the mean", kFixed, AUGMENTATION(cutout), 0, 1024},
  {"brightness", OptionGroup::augmentation, real, "F", "random change, of the range 0 to 1", kFixed, AUGMENTATION(brightness), 0, 1},
  {"contrast", OptionGroup::augmentation, real, "F", "random change of the factor 1", kFixed, AUGMENTATION(contrast), 0, 1},
  {"views", OptionGroup::augmentation, integer, "1|2|6", "of each test image: as it is; and mirrored; and shifted by a pixel", kFixed, &set_views, &get<RunConfig, &RunConfig::views>},

  {"average", ranks, text, "POLICY", "what ranks average: never, end, epoch, every:K steps (weights), step (gradients), post-local:EPOCH,K, quadratic:C,K [step]", kFixed, &set_average, &get<RunConfig, &RunConfig::average>},
  {"average-node", ranks, text, "POLICY", "the same inside each node, more often than over the world", kFixed, &set_average_node, &get<RunConfig, &RunConfig::averaging, &AveragingSettings::node>},
  {"node-size", ranks, integer, "N", "consecutive ranks that are a node; 0: the ranks of a host", kFixed, AVERAGING(node_size), 0, 1 << 20},
  {"outer", ranks, word, Words<OuterKind>::all, "what becomes of an average: taken as it is, or a step of slow momentum (SlowMo; DiLoCo's Nesterov)", kFixed, AVERAGING(outer)},
  {"outer-learning-rate", ranks, real, "L", "of that step; -1: 1 for slowmo, 0.7 for nesterov", kFixed, AVERAGING(outer_learning_rate), -1, 10},
  {"outer-momentum", ranks, real, "M", "of that step; -1: 0.7 for slowmo, 0.9 for nesterov", kFixed, AVERAGING(outer_momentum), -1, 1},
  {"moments", ranks, word, Words<MomentsRule>::all, "the optimizer's moments when weights are averaged; reset: momentum starts anew", kFixed, AVERAGING(moments)},
  {"average-delay", ranks, integer, "0|1", "steps by which an average of weights is late, so that it overlaps with the next", kFixed, AVERAGING(delay), 0, 1},
  {"gradient-bucket", ranks, real, "MB", "of gradients, which --average step averages while the backward pass goes on; 0: all at once, after it", kMayChange, AVERAGING(bucket), 0, kMost},
  {"ema", ranks, real, "DECAY", "evaluate an exponential moving average of the weights; 0: off", kFixed, RUN(&RunConfig::ema_decay), 0, kBelowOne},
  {"recalibrate", ranks, integer, "N", "batches for new normalisation statistics of the evaluated weights; 0: none; -1: 20 where weights are averaged after several steps", kFixed, RUN(&RunConfig::recalibrate), -1, 1 << 20},
  {"batch-per-rank", ranks, integer, "B", "images per step of each rank, instead of --batch; 0: --batch holds", kFixed, RUN(&RunConfig::batch_per_rank), 0, 1 << 20},
  {"scale-rate", ranks, word, Words<RateScaling>::all, "all learning rates, by the batch of --batch-per-rank over --batch", kFixed, RUN(&RunConfig::scale_rate)},
  {"shard", ranks, text, "MODE", "which images a rank sees: epoch (a new part in each), fixed (the same part), dirichlet:ALPHA (fixed, with classes of its own), overlapping (--samples-per-rank of the set)", kFixed, &set_shard, &get<RunConfig, &RunConfig::shard>},
  {"samples-per-rank", ranks, integer, "N", "images of each rank in an epoch; 0: the ranks share the training set", kFixed, RUN(&RunConfig::samples_per_rank), 0, kMost},
  {"start", ranks, word, Words<WeightStart>::all, "first weights: the same for all ranks, or each rank's own", kFixed, RUN(&RunConfig::start)},
  {"local-accuracy", ranks, boolean, "", "test each rank's own weights before the last average; --average never and end always do", kMayChange, RUN(&RunConfig::local_accuracy)},
  {"gpus-per-process", ranks, text, "K|all", "GPUs of this host that one process trains on, each a rank: no MPI needed", kMayChange, &set_gpus_per_process, &get_gpus_per_process, 0, 1024},
  {"virtual-ranks", ranks, integer, "N", "ranks that this process holds and steps in turn, to study averaging on one device", kMayChange, RUN(&RunConfig::virtual_ranks), 1, 1024},

  {"evaluate-every", output, text, "E|end", "epochs between evaluations", kMayChange, &set_evaluate_every, &get_evaluate_every, 0, 1e6},
  {"log-every", output, integer, "K", "steps between rows of metrics.jsonl; 0: epochs only", kMayChange, RUN(&RunConfig::log_every), 0, kMost},
  {"log-ranks", output, boolean, "", "also ranks/N.jsonl: each rank's own loss, pace and waits, in rows as of metrics.jsonl", kMayChange, RUN(&RunConfig::log_ranks)},
  {"keep-checkpoints", output, integer, "K", "how many of the last checkpoints stay, beside the best by --validation", kMayChange, RUN(&RunConfig::keep_checkpoints), 1, kMost},
  {"on-nan", output, word, Words<OnNan>::all, "where loss or weights are not finite: stop; or go back to the last checkpoint and skip the steps since", kMayChange, RUN(&RunConfig::on_nan)},

  {"deterministic", advanced, boolean, "", "GPU: only algorithms that repeat to the bit", kMayChange, RUN(&RunConfig::deterministic)},
  {"autotune", advanced, boolean, "", "GPU: measure cuDNN's plans and keep the fastest in $CONVOY_CACHE or ~/.cache/convoy", kMayChange, RUN(&RunConfig::autotune)},
  {"graph-collectives", advanced, boolean, "", "keep the gradients' collectives in CUDA graphs where one process has several GPUs too", kMayChange, RUN(&RunConfig::graph_collectives)},
  {"graph", advanced, boolean, "", "GPU: replay a step as one CUDA graph; --no-graph makes its calls, so that profilers see them", kMayChange, RUN(&RunConfig::graph)},
  {"profile-steps", advanced, text, "FIRST:LAST", "GPU: between these a profiler that waits for it records; tools/profile says it", kMayChange, &set_profile_steps, &get_profile_steps},
  {"timeout", advanced, real, "S", "seconds that a rank may stand still before the job ends; 0: for ever", kMayChange, RUN(&RunConfig::timeout), 0, kMost},
  {"startup-timeout", advanced, real, "S", "the same until the first steps are taken", kMayChange, RUN(&RunConfig::startup_timeout), 0, kMost},
  {"evaluation-batch", advanced, integer, "B", "images per evaluation step", kMayChange, RUN(&RunConfig::evaluation_batch), 1, 1 << 20},
};

constexpr GroupOption kGroupOptions[] = {
  {"optimizer", OptionGroup::optimizer, word, Words<OptimizerKind>::all, "update rule", kFixed, GROUP(optimizer)},
  {"learning-rate", OptionGroup::optimizer, real, "L", "highest rate", kFixed, GROUP(learning_rate), 0, kMost},
  {"momentum", OptionGroup::optimizer, real, "M", "of sgd and muon", kFixed, GROUP(momentum), 0, 1},
  {"nesterov", OptionGroup::optimizer, boolean, "", "Nesterov's momentum", kFixed, GROUP(nesterov)},
  {"weight-decay", OptionGroup::optimizer, real, "D", "weight decay", kFixed, GROUP(weight_decay), 0, kMost},
  {"decoupled", OptionGroup::optimizer, boolean, "", "decoupled weight decay", kFixed, GROUP(decoupled)},
  {"beta1", OptionGroup::optimizer, real, "B", "Adam's first-moment decay", kFixed, GROUP(beta1), 0, kBelowOne},
  {"beta2", OptionGroup::optimizer, real, "B", "Adam's second-moment decay", kFixed, GROUP(beta2), 0, kBelowOne},
  {"epsilon", OptionGroup::optimizer, real, "E", "Adam's epsilon", kFixed, GROUP(epsilon), kLeastEpsilon, 1},
  {"keras-epsilon", OptionGroup::optimizer, boolean, "", "epsilon as Keras adds it", kFixed, GROUP(keras_epsilon)},
  {"muon-iterations", OptionGroup::optimizer, integer, "N", "Newton-Schulz steps", kFixed, GROUP(muon_iterations), 1, 100},
  {"schedule", OptionGroup::optimizer, word, Words<ScheduleKind>::all, "of the learning rate", kFixed, GROUP(schedule)},
  {"schedule-start", OptionGroup::optimizer, real, "F", "first rate as a fraction", kFixed, GROUP(schedule_start), 0, 1},
  {"schedule-end", OptionGroup::optimizer, real, "F", "last rate as a fraction", kFixed, GROUP(schedule_end), 0, 1},
  {"schedule-peak", OptionGroup::optimizer, real, "F", "where the peak lies", kFixed, GROUP(schedule_peak), 0, 1},
  {"warmup-epochs", OptionGroup::optimizer, real, "E", "epochs of warm-up", kFixed, GROUP(warmup_epochs), 0, 1e6},
  {"warmup-steps", OptionGroup::optimizer, integer, "N", "steps of warm-up", kFixed, GROUP(warmup_steps), 0, 1e12},
  {"until-epoch", OptionGroup::optimizer, real, "E", "the schedule ends there, the group is frozen afterwards; 0: the run's end", kFixed, GROUP(until_epoch), 0, 1e6},
};
// clang-format on

#undef RUN
#undef GROUP
#undef SHARED
#undef AVERAGING
#undef AUGMENTATION

template <typename Root>
const OptionRow<Root>& find(std::span<const OptionRow<Root>> rows, std::string_view option, std::string_view where,
                            std::string_view what) {
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const auto& r) { return r.name == option; });
  if (row != rows.end()) return *row;
  std::vector<std::string_view> names;
  for (const auto& known : rows) names.push_back(known.name);
  fail_usage("{}unknown {} '{}'{}", where, what, option, did_you_mean(option, names));
}

template <typename Root>
void set_checked(const OptionRow<Root>& row, Root& root, std::string_view value, std::string_view where,
                 const std::string& shown_name) {
  try {
    row.set(root, value);
  } catch (const UsageError& error) {
    fail_usage("{}{}: {}", where, shown_name, error.what());
  }
  const bool is_bounded = std::isfinite(row.least) || std::isfinite(row.most);
  double number = 0;
  const std::string printed = row.get(root);
  const char* end = printed.data() + printed.size();
  if (!is_bounded || std::from_chars(printed.data(), end, number).ptr != end) return;
  if (number < row.least || number > row.most) {
    fail_usage("{}{}: at least {} and at most {} expected, {} found", where, shown_name, row.least, row.most, value);
  }
}

}  // namespace

std::string_view name(OptionGroup group) {
  constexpr std::string_view kNames[] = {"Common",       "Data",  "Model",  "Optimizer and schedule",
                                         "Augmentation", "Ranks", "Output", "Advanced"};
  return kNames[static_cast<std::size_t>(group)];
}

std::span<const RunOption> run_options() { return kRunOptions; }
std::span<const GroupOption> group_options() { return kGroupOptions; }

const RunOption& find_run_option(std::string_view option, std::string_view where) {
  return find(run_options(), option, where, "option");
}

const GroupOption& find_group_option(std::string_view option, std::string_view where) {
  return find(group_options(), option, where, "option of a parameter group");
}

void set_option(RunConfig& config, std::string_view option, std::string_view value, std::string_view where,
                const std::string& origin) {
  set_checked(find_run_option(option, where), config, value, where, std::string(option));
  config.origins[std::string(option)] = origin;
}

void set_group_option(RunConfig& config, const std::string& group_name, std::string_view option, std::string_view value,
                      std::string_view where, const std::string& origin) {
  const GroupOption& row = find_group_option(option, where);
  GroupConfig& group = config.groups[group_name];
  const std::string full_name = fmt::format("groups.{}.{}", group_name, option);
  set_checked(row, group.settings, value, where, full_name);
  const auto place = std::lower_bound(group.given.begin(), group.given.end(), option);
  if (place == group.given.end() || *place != option) group.given.insert(place, std::string(option));
  config.origins[full_name] = origin;
}

}  // namespace convoy
