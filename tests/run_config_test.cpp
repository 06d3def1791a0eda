// Options: the command line wins over the recipe, mistakes are named with place and nearest word, and the resolved
// recipe gives the same configuration back.
#include "train/run_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "convoy/error.hpp"
#include "io/embedded.hpp"
#include "support/temporary_folder.hpp"
#include "train/run_options.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

template <typename Function>
std::string usage_error(Function function) {
  try {
    function();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no UsageError";
}

std::string recipe_error(const std::string& text) {
  return usage_error([&] { parse_recipe(text, "my.toml"); });
}

std::string command_line_error(const std::vector<Setting>& settings) {
  return usage_error([&] { resolve_config("", settings); });
}

TEST(RunConfigs, the_command_line_wins_over_the_recipe) {
  const RunConfig config =
      resolve_config("seed-baseline", {{"epochs", "7"}, {"nesterov", "true"}, {"momentum", "0.5"}});
  EXPECT_EQ(config.epochs, 7);
  EXPECT_TRUE(config.optimizer.nesterov);
  EXPECT_EQ(config.batch, 64);
  EXPECT_EQ(config.optimizer.optimizer, OptimizerKind::adam);
  EXPECT_TRUE(config.is_from_command_line("epochs"));
  EXPECT_FALSE(config.is_from_command_line("batch"));
  EXPECT_EQ(config.origins.count("momentum"), 1U);
}

TEST(RunConfigs, a_precision_of_the_recipe_is_told_from_one_of_the_command_line) {
  EXPECT_FALSE(resolve_config("airbench94", {}).is_from_command_line("precision"));
  EXPECT_TRUE(resolve_config("airbench94", {{"precision", "bf16"}}).is_from_command_line("precision"));
}

TEST(RunConfigs, every_option_can_be_set_by_its_own_printed_value) {
  for (const RunOption& row : run_options()) {
    const std::string value = row.get(RunConfig{});
    RunConfig config;
    if (value.empty()) continue;
    EXPECT_NO_THROW(set_option(config, row.name, value, "", "")) << row.name;
    EXPECT_EQ(row.get(config), value) << row.name;
  }
}

TEST(RunConfigs, option_names_are_unique_and_lie_in_a_group_together) {
  std::set<std::string_view> names;
  std::vector<OptionGroup> order;
  for (const RunOption& row : run_options()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    if (order.empty() || order.back() != row.group) order.push_back(row.group);
  }
  EXPECT_EQ(std::set<OptionGroup>(order.begin(), order.end()).size(), order.size());
}

TEST(RunConfigs, every_group_option_but_until_epoch_is_a_run_option_too) {
  for (const GroupOption& row : group_options()) {
    if (row.name == "until-epoch") continue;
    EXPECT_NO_THROW(find_run_option(row.name, "")) << row.name;
  }
}

TEST(RunConfigs, every_value_of_every_option_survives_the_resolved_recipe) {
  const std::vector<Setting> settings = {{"data", "/data/\"odd\\ näme\""},
                                         {"model", "resnet18"},
                                         {"epochs", "3"},
                                         {"batch", "77"},
                                         {"optimizer", "muon"},
                                         {"learning-rate", "0.1234567890123456789"},
                                         {"precision", "tf32"},
                                         {"device", "cpu"},
                                         {"seed", "9007199254740993"},
                                         {"steps", "12"},
                                         {"threads", "3"},
                                         {"deterministic", "true"},
                                         {"autotune", "true"},
                                         {"graph-collectives", "true"},
                                         {"labels", "coarse"},
                                         {"data-mode", "staged"},
                                         {"validation", "0.1"},
                                         {"normalisation", "unit"},
                                         {"test-images", "6000"},
                                         {"norm-group-size", "25"},
                                         {"momentum", "0.85"},
                                         {"nesterov", "true"},
                                         {"weight-decay", "5e-4"},
                                         {"decoupled", "true"},
                                         {"beta1", "0.8"},
                                         {"beta2", "0.99"},
                                         {"epsilon", "1e-7"},
                                         {"keras-epsilon", "true"},
                                         {"muon-iterations", "3"},
                                         {"schedule", "cosine"},
                                         {"schedule-start", "0.25"},
                                         {"schedule-end", "0.01"},
                                         {"schedule-peak", "0.3"},
                                         {"warmup-epochs", "0.5"},
                                         {"warmup-steps", "10"},
                                         {"clip-norm", "2.5"},
                                         {"label-smoothing", "0.2"},
                                         {"loss-reduction", "sum"},
                                         {"flip", "alternating"},
                                         {"translate", "4"},
                                         {"cutout", "8"},
                                         {"brightness", "0.1"},
                                         {"contrast", "0.3"},
                                         {"views", "6"},
                                         {"average", "post-local:1.5,8"},
                                         {"average-node", "every:2"},
                                         {"node-size", "2"},
                                         {"outer", "slowmo"},
                                         {"outer-learning-rate", "0.5"},
                                         {"outer-momentum", "0.8"},
                                         {"moments", "average"},
                                         {"average-delay", "1"},
                                         {"ema", "0.99"},
                                         {"recalibrate", "10"},
                                         {"graph", "false"},
                                         {"profile-steps", "11:30"},
                                         {"timeout", "30"},
                                         {"startup-timeout", "300"},
                                         {"batch-per-rank", "32"},
                                         {"scale-rate", "sqrt"},
                                         {"shard", "dirichlet:0.5"},
                                         {"gradient-bucket", "0.5"},
                                         {"log-ranks", "true"},
                                         {"samples-per-rank", "30000"},
                                         {"start", "own"},
                                         {"local-accuracy", "true"},
                                         {"virtual-ranks", "4"},
                                         {"gpus-per-process", "all"},
                                         {"evaluate-every", "end"},
                                         {"checkpoint-every", "5m"},
                                         {"keep-checkpoints", "3"},
                                         {"on-nan", "rollback"},
                                         {"log-every", "7"},
                                         {"evaluation-batch", "500"},
                                         {"init", "/w/weights.safetensors"},
                                         {"repeat", "3"},
                                         {"group", "filters.optimizer=sgd"},
                                         {"group", "filters.learning-rate=0.24"},
                                         {"group", "odd name.until-epoch=2.5"}};
  const RunConfig config = resolve_config("", settings);
  const RunConfig back = parse_recipe(to_toml(config), "recipe.toml");
  for (const RunOption& row : run_options()) {
    EXPECT_EQ(row.get(back), row.get(config)) << row.name;
    const bool is_changed = row.get(config) != row.get(RunConfig{});
    EXPECT_TRUE(is_changed || row.name == "out" || row.name == "resume") << row.name << " is not covered by this test";
  }
  EXPECT_EQ(back.groups, config.groups);
  EXPECT_EQ(to_toml(back), to_toml(config));
  EXPECT_EQ(back.optimizer, config.optimizer);
}

TEST(RunConfigs, every_shipped_recipe_parses_and_survives_being_resolved) {
  ASSERT_FALSE(embedded_recipes().empty());
  EXPECT_TRUE(std::ranges::is_sorted(embedded_recipes(), {}, &EmbeddedFile::name));
  for (const EmbeddedFile& file : embedded_recipes()) {
    const RunConfig config = resolve_config(std::string(file.name), {});
    EXPECT_EQ(config.name, file.name);
    EXPECT_FALSE(config.description.empty());
    EXPECT_TRUE(config.data.empty()) << "a recipe leaves the choice of data to the user";
    const RunConfig back = parse_recipe(to_toml(config), "recipe.toml");
    EXPECT_EQ(to_toml(back), to_toml(config));
    EXPECT_EQ(back.name, config.name);
  }
}

TEST(RunConfigs, airbench94_has_the_published_numbers) {
  const RunConfig config = resolve_config("airbench94", {});
  const GroupSettings filters = config.group("filters");
  EXPECT_EQ(filters.optimizer, OptimizerKind::muon);
  EXPECT_EQ(filters.learning_rate, 0.24);
  EXPECT_EQ(filters.momentum, 0.6);
  EXPECT_EQ(filters.muon_iterations, 3);
  EXPECT_EQ(filters.weight_decay, 0);
  EXPECT_EQ(filters.schedule, ScheduleKind::linear);
  const GroupSettings head = config.group("dense");
  EXPECT_EQ(head.optimizer, OptimizerKind::sgd);
  EXPECT_EQ(head.learning_rate, 0.67);
  EXPECT_DOUBLE_EQ(head.weight_decay, 2e-6 * 2000 / 0.67);
  EXPECT_EQ(head.momentum, 0.85);
  const GroupSettings norm = config.group("norm");
  EXPECT_EQ(norm.learning_rate, 0.053);
  EXPECT_DOUBLE_EQ(norm.weight_decay, 2e-6 * 2000 / 0.053);
  EXPECT_EQ(norm.until_epoch, 0);
  EXPECT_EQ(config.group("whitening_bias").until_epoch, 3);
  EXPECT_EQ(config.group("whitening_bias").learning_rate, 0.053);
}

TEST(RunConfigs, a_group_inherits_what_its_table_does_not_say) {
  const RunConfig config = parse_recipe(
      "momentum = 0.9\nlearning-rate = 0.5\nschedule = \"cosine\"\n[groups.norm]\nweight-decay = 0.25\nmomentum = "
      "0.0\n",
      "my.toml");
  EXPECT_EQ(config.group("norm").momentum, 0);
  EXPECT_EQ(config.group("norm").weight_decay, 0.25);
  EXPECT_EQ(config.group("norm").learning_rate, 0.5);
  EXPECT_EQ(config.group("norm").schedule, ScheduleKind::cosine);
  EXPECT_EQ(config.group("filters"), config.optimizer);
}

TEST(RunConfigs, a_recipe_over_another_changes_what_it_says_and_keeps_the_rest) {
  const RunConfig base = resolve_config("airbench94", {}), config = resolve_config("airbench94-parallel", {});
  EXPECT_EQ(config.average, "post-local:4,4");
  EXPECT_EQ(config.group("filters").momentum, 0.9);
  EXPECT_EQ(config.group("filters").learning_rate, base.group("filters").learning_rate);
  EXPECT_EQ(config.group("dense"), base.group("dense"));
  EXPECT_EQ(config.batch, 2000);
  EXPECT_EQ(config.name, "airbench94-parallel");
  EXPECT_EQ(config.origins.at("batch"), base.origins.at("batch"));
}

TEST(RunConfigs, a_base_is_found_by_name_or_beside_the_recipe_and_keeps_its_name) {
  const TemporaryFolder folder;
  const auto write = [&](const char* name, const std::string& text) {
    fs::create_directories((folder.path() / name).parent_path());
    std::ofstream(folder.path() / name) << text;
    return (folder.path() / name).string();
  };
  write("bases/net.json", "{}");
  write("bases/first.toml",
        "name = \"first\"\ndescription = \"of first\"\nbase = \"local-sgd\"\nmodel = \"net.json\"\n"
        "epochs = 3\n");
  const std::string second = write("second.toml", "epochs = 4\nbase = \"bases/first.toml\"\n");
  const RunConfig config = resolve_config(second, {{"momentum", "0.5"}});
  EXPECT_EQ(config.epochs, 4);
  EXPECT_EQ(config.model, (folder.path() / "bases/net.json").string());
  EXPECT_EQ(config.average, "every:4");
  EXPECT_EQ(config.optimizer.momentum, 0.5);
  EXPECT_EQ(config.name, "run");
  EXPECT_EQ(config.description, "");

  const std::string circle = write("circle.toml", "base = \"bases/back.toml\"\n");
  const std::string back = write("bases/back.toml", "\nbase = \"../circle.toml\"\n");
  EXPECT_EQ(usage_error([&] { resolve_config(circle, {}); }),
            back + ":2: base: " + circle + " is itself built on this recipe");
  const std::string lost = write("lost.toml", "base = \"nowhere.toml\"\n");
  EXPECT_EQ(usage_error([&] { resolve_config(lost, {}); }), lost + ":1: base: recipe nowhere.toml: no such file");
  const std::string typo = write("typo.toml", "base = \"fashon\"\n");
  EXPECT_THAT(usage_error([&] { resolve_config(typo, {}); }),
              AllOf(StartsWith(typo + ":1: base: recipe 'fashon' is neither"), HasSubstr("did you mean 'fashion'?")));
  EXPECT_EQ(recipe_error("base = \"fashion\""), "my.toml:1: a resolved recipe has no base");
  EXPECT_EQ(recipe_error("base = true"), "my.toml:1: base: text expected, true or false found");
}

TEST(RunConfigs, mistakes_in_a_recipe_are_named_with_file_line_and_nearest_word) {
  const struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"epochs = 3\nlerning-rate = 0.1", "my.toml:2: unknown option 'lerning-rate'; did you mean 'learning-rate'?"},
      {"optimizer = \"adamm\"",
       "my.toml:1: optimizer: one of sgd|adam|adamw|muon expected, 'adamm' found; did you mean"},
      {"\nepochs = \"3\"", "my.toml:2: epochs: a whole number expected, text found"},
      {"epochs = 2.5", "my.toml:1: epochs: a whole number expected, a number found"},
      {"epochs = 0", "my.toml:1: epochs: at least 1 and at most 1000000 expected, 0 found"},
      {"nesterov = 1", "my.toml:1: nesterov: true or false expected, a whole number found"},
      {"learning-rate = nan", "my.toml:1: learning-rate: a finite number expected, 'nan' found"},
      {"learning-rate = [0.1]", "my.toml:1: learning-rate: a number expected, a list found"},
      {"epochs = 3\nepochs = 4", "my.toml:2: "},
      {"epochs = ", "my.toml:1: "},
      {"[groups]\nfilters = 3", "my.toml:2: groups.filters: a table [groups.filters] expected, a whole number found"},
      {"groups = 3", "my.toml:1: groups: tables [groups.NAME] expected"},
      {"[groups.norm]\nwheight-decay = 0.0", "my.toml:2: unknown option of a parameter group 'wheight-decay'; did you"},
      {"[groups.norm]\nepochs = 3", "my.toml:2: unknown option of a parameter group 'epochs'"},
      {"name = \"a/b\"", "my.toml: name: text without '/' expected"},
      {"views = 3", "my.toml:1: views: 1, 2 or 6 expected, '3' found"},
      {"validation = 2.5", "my.toml:1: validation: a whole number of images, or a fraction below 1"},
  };
  for (const auto& one : cases) EXPECT_THAT(recipe_error(one.text), HasSubstr(one.message)) << one.text;
}

TEST(RunConfigs, mistakes_on_the_command_line_are_named_with_the_option) {
  EXPECT_EQ(command_line_error({{"batch", "many"}}), "--batch: a whole number expected, 'many' found");
  EXPECT_EQ(command_line_error({{"batch", "12x"}}), "--batch: a whole number expected, '12x' found");
  EXPECT_THAT(command_line_error({{"batch", "99999999999"}}), HasSubstr("--batch: 99999999999 is out of range"));
  EXPECT_THAT(command_line_error({{"batch", "0"}}), HasSubstr("--batch: at least 1"));
  EXPECT_THAT(command_line_error({{"group", "filters"}}), HasSubstr("NAME.OPTION=VALUE expected"));
  EXPECT_THAT(command_line_error({{"group", "filters.rate=1"}}),
              HasSubstr("unknown option of a parameter group 'rate'"));
  EXPECT_THAT(command_line_error({{"evaluate-every", "0"}}), HasSubstr("or end, expected"));
  EXPECT_THAT(command_line_error({{"shard", "fixd"}}), HasSubstr("--shard: one of epoch|fixed|"));
}

TEST(RunConfigs, numbers_that_cannot_work_are_refused) {
  for (const char* decay : {"beta1", "beta2", "ema"}) {
    EXPECT_THAT(command_line_error({{decay, "1"}}), HasSubstr(std::string("--") + decay + ": at least 0"));
  }
  EXPECT_THAT(command_line_error({{"epsilon", "0"}}), HasSubstr("--epsilon: at least 1e-30"));
  EXPECT_THAT(command_line_error({{"group", "filters.beta1=1"}}), HasSubstr("groups.filters.beta1: at least 0"));
}

TEST(RunConfigs, contradictions_are_refused) {
  EXPECT_THAT(command_line_error({{"nesterov", "true"}}), HasSubstr("nesterov needs a momentum"));
  EXPECT_THAT(command_line_error({{"schedule", "triangular"}, {"warmup-steps", "5"}}), HasSubstr("warms up by itself"));
  EXPECT_THAT(command_line_error({{"warmup-epochs", "5"}, {"epochs", "4"}}), HasSubstr("longer than the run"));
  EXPECT_THAT(command_line_error({{"shard", "overlapping"}}), HasSubstr("needs --samples-per-rank N"));
}

TEST(RunConfigs, an_option_of_something_that_is_off_is_refused_unless_a_recipe_gives_it) {
  EXPECT_THAT(command_line_error({{"outer-momentum", "0.5"}}), HasSubstr("--outer-momentum needs --outer"));
  EXPECT_THAT(command_line_error({{"outer-learning-rate", "1"}}), HasSubstr("--outer-learning-rate needs --outer"));
  EXPECT_THAT(command_line_error({{"scale-rate", "linear"}}), HasSubstr("--scale-rate needs --batch-per-rank"));
  EXPECT_EQ(resolve_config("slowmo", {{"outer", "average"}}).averaging.outer, OuterKind::average);
  EXPECT_EQ(resolve_config("local-sgd", {{"batch-per-rank", "0"}}).batch_per_rank, 0);
  EXPECT_EQ(resolve_config("slowmo", {{"outer-momentum", "0.5"}}).averaging.outer_momentum, 0.5);
}

TEST(RunConfigs, an_unknown_recipe_lists_the_shipped_ones) {
  EXPECT_THAT(usage_error([] { resolve_config("fashon", {}); }), HasSubstr("did you mean 'fashion'?"));
  EXPECT_EQ(usage_error([] { resolve_config("nowhere/my.toml", {}); }), "recipe nowhere/my.toml: no such file");
}

TEST(RunConfigs, paths_in_a_recipe_file_are_found_beside_it) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "net.json") << "{}";
  std::ofstream(folder.path() / "my.toml") << "model = \"net.json\"\ninit = \"elsewhere.safetensors\"\n";
  const RunConfig config = resolve_config((folder.path() / "my.toml").string(), {});
  EXPECT_EQ(config.model, (folder.path() / "net.json").string());
  EXPECT_EQ(config.init, "elsewhere.safetensors");
}

TEST(RunConfigs, an_option_that_the_groups_of_the_recipe_override_is_warned_of) {
  EXPECT_THAT(config_warnings(resolve_config("airbench94", {})), IsEmpty());
  EXPECT_THAT(config_warnings(resolve_config("airbench94", {{"learning-rate", "0.1"}})),
              ElementsAre(HasSubstr("--learning-rate does not reach the parameter groups dense, filters")));
  EXPECT_THAT(config_warnings(resolve_config("airbench94", {{"learning-rate", "0.1"},
                                                            {"group", "filters.learning-rate=0.1"},
                                                            {"group", "dense.learning-rate=0.1"}})),
              IsEmpty());
}

TEST(RunConfigs, groups_that_the_network_lacks_are_refused_unless_the_command_line_chose_it) {
  const std::vector<std::string> network = {"filters", "biases", "dense"};
  RunConfig recipe = parse_recipe("[groups.filter]\nmomentum = 0.5", "my.toml");
  EXPECT_THAT(usage_error([&] { match_groups(recipe, network); }),
              HasSubstr("groups.filter: network seed has no such parameter group, but filters, biases, dense; did you "
                        "mean 'filters'?"));
  RunConfig changed = resolve_config("airbench94", {{"model", "seed"}});
  EXPECT_THAT(match_groups(changed, network), ElementsAre(HasSubstr("whitening_bias")));
  EXPECT_EQ(changed.groups.size(), 2U);
  EXPECT_THAT(match_groups(changed, network), IsEmpty());
}

TEST(RunConfigs, the_json_of_the_summary_has_every_option_with_its_type) {
  const nlohmann::json json = nlohmann::json::parse(to_json(resolve_config("airbench94", {{"repeat", "2"}})));
  for (const RunOption& row : run_options()) EXPECT_TRUE(json.contains(row.name)) << row.name;
  EXPECT_EQ(json["batch"], 2000);
  EXPECT_FALSE(nlohmann::json::parse(to_json(resolve_config("airbench94", {}))).contains("repeat"));
  EXPECT_EQ(json["loss-reduction"], "sum");
  EXPECT_EQ(json["nesterov"], true);
  EXPECT_EQ(json["groups"]["filters"]["learning-rate"], 0.24);
}

}  // namespace
}  // namespace convoy
