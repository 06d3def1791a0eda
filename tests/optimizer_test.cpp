// From parameter groups to updates: which parameter gets which rule, what is merged, what is left out, and moments
// only where a rule reads them.
// needs: oneDNN
#include "train/optimizer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "support/backends.hpp"
#include "support/data_files.hpp"
#include "train/step.hpp"

namespace convoy::test {
namespace {

using testing::HasSubstr;

constexpr const char* kNetwork = R"({"name": "three", "input": [8, 8, 3], "layers": [
  {"name": "conv1", "type": "convolution", "filters": 4, "kernel": 3},
  {"name": "norm1", "type": "batch_normalisation"},
  {"name": "conv2", "type": "convolution", "filters": 4, "kernel": 3, "frozen": "weights"},
  {"name": "head", "type": "dense", "outputs": "classes"}]})";

class Optimizers : public testing::Test {
 protected:
  static bool none(const Parameter&) { return false; }
  std::vector<UpdateSpec> specs(const std::vector<Setting>& settings,
                                const std::function<bool(const Parameter&)>& frozen = none) const {
    return update_specs(model_.layout, resolve_config("", settings), frozen);
  }
  // The elements that ranges cover, without the padding behind a tensor.
  std::multiset<std::string> covered(const std::vector<UpdateSpec>& specs) const {
    std::multiset<std::string> names;
    const auto take = [&](std::size_t offset, std::size_t count) {
      for (const Parameter& parameter : model_.layout.parameters) {
        const bool is_inside = parameter.offset >= offset && parameter.offset + parameter.count <= offset + count;
        if (is_inside) names.insert(parameter.name);
      }
    };
    for (const UpdateSpec& spec : specs) {
      if (const auto* sgd = std::get_if<SgdSpec>(&spec)) {
        for (const UpdateRange& range : sgd->ranges) take(range.offset, range.count);
      } else if (const auto* adam = std::get_if<AdamSpec>(&spec)) {
        for (const UpdateRange& range : adam->ranges) take(range.offset, range.count);
      } else {
        for (const MuonSpec::Matrix& matrix : std::get<MuonSpec>(spec).matrices) {
          take(matrix.offset, static_cast<std::size_t>(matrix.rows) * static_cast<std::size_t>(matrix.columns));
        }
      }
    }
    return names;
  }

  const Model model_ = make_model(parse_network(kNetwork, "test"), 10, 3);
  const std::multiset<std::string> trainable_ = {"conv1.weight", "conv1.bias",  "norm1.weight", "norm1.bias",
                                                 "conv2.bias",   "head.weight", "head.bias"};
};

TEST_F(Optimizers, every_trainable_parameter_is_updated_once_whatever_the_rules) {
  EXPECT_EQ(covered(specs({})), trainable_);
  EXPECT_EQ(covered(specs({{"optimizer", "adam"}})), trainable_);
  EXPECT_EQ(covered(specs({{"group", "filters.optimizer=muon"},
                           {"group", "biases.optimizer=adamw"},
                           {"group", "norm.weight-decay=0.1"},
                           {"group", "dense.momentum=0.5"}})),
            trainable_);
}

TEST_F(Optimizers, frozen_parameters_are_left_out) {
  const auto is_bias = [](const Parameter& parameter) { return parameter.kind == ParameterKind::bias; };
  const std::multiset<std::string> rest = {"conv1.weight", "norm1.weight", "norm1.bias", "head.weight"};
  EXPECT_EQ(covered(specs({}, is_bias)), rest);
}

TEST_F(Optimizers, groups_of_equal_settings_are_one_update_and_neighbours_of_a_group_one_range) {
  const std::vector<UpdateSpec> same = specs({{"momentum", "0.9"}, {"group", "filters.learning-rate=3"}});
  ASSERT_EQ(same.size(), 1U) << "rates differ from row to row, not from update to update";
  const std::vector<UpdateRange>& ranges = std::get<SgdSpec>(same.front()).ranges;
  const int norm = model_.layout.find_group("norm");
  EXPECT_EQ(std::count_if(ranges.begin(), ranges.end(), [&](const UpdateRange& r) { return r.group == norm; }), 1);
  EXPECT_EQ(specs({{"group", "filters.momentum=0.9"}}).size(), 2U);
  EXPECT_EQ(specs({{"optimizer", "adam"}, {"group", "norm.epsilon=1e-3"}, {"group", "dense.beta2=0.9"}}).size(), 3U);
}

TEST_F(Optimizers, a_decay_of_a_group_stays_in_its_ranges) {
  const std::vector<UpdateSpec> all = specs({{"weight-decay", "0.5"}, {"group", "norm.weight-decay=0"}});
  for (const UpdateRange& range : std::get<SgdSpec>(all.front()).ranges) {
    EXPECT_EQ(range.weight_decay, range.group == model_.layout.find_group("norm") ? 0.0F : 0.5F);
  }
}

TEST_F(Optimizers, muon_takes_filters_as_matrices_of_their_output_channels) {
  const std::vector<UpdateSpec> all = specs({{"group", "filters.optimizer=muon"}, {"group", "filters.momentum=0.6"}});
  const auto muon = std::find_if(all.begin(), all.end(),
                                 [](const UpdateSpec& spec) { return std::holds_alternative<MuonSpec>(spec); });
  ASSERT_NE(muon, all.end());
  const MuonSpec& spec = std::get<MuonSpec>(*muon);
  ASSERT_EQ(spec.matrices.size(), 1U);
  EXPECT_EQ(spec.matrices[0].rows, 4);
  EXPECT_EQ(spec.matrices[0].columns, 27);
  EXPECT_EQ(spec.momentum, 0.6F);
}

TEST_F(Optimizers, muon_refuses_what_is_no_matrix_and_says_what_to_do) {
  const std::string message = message_of([&] { specs({{"optimizer", "muon"}}); });
  EXPECT_THAT(message, HasSubstr("parameter 'conv1.bias' of group 'biases' is no matrix"));
  EXPECT_THAT(message, HasSubstr("[groups.biases] optimizer = \"sgd\""));
}

TEST_F(Optimizers, there_are_moments_only_where_a_rule_reads_them) {
  struct Row {
    std::vector<Setting> settings;
    bool first, second;
  };
  const Row rows[] = {{{}, false, false},
                      {{{"momentum", "0.9"}}, true, false},
                      {{{"group", "dense.momentum=0.9"}}, true, false},
                      {{{"group", "filters.optimizer=muon"}}, true, false},
                      {{{"optimizer", "adam"}}, true, true},
                      {{{"group", "norm.optimizer=adamw"}}, true, true}};
  for (const Row& row : rows) {
    const std::unique_ptr<Backend> backend = make_backend_for_test("cpu", Precision::fp32);
    const ParamLayout& layout = model_.layout;
    const Weights weights(*backend, layout, "weights", moments_needed(layout, resolve_config("", row.settings)));
    EXPECT_EQ(weights.first_moment() != nullptr, row.first);
    EXPECT_EQ(weights.second_moment() != nullptr, row.second);
    const std::size_t elements = layout.total_elements + layout.trainable_elements * (row.first + row.second);
    EXPECT_EQ(backend->allocated_bytes(), elements * sizeof(float));
    EXPECT_EQ(weights.with_moments().data + weights.with_moments().count,
              weights.communicated().data + weights.communicated().count);
  }
}

TEST_F(Optimizers, rates_are_those_of_the_groups_in_the_rows_places) {
  const RunConfig config = resolve_config("", {{"learning-rate", "0.5"},
                                               {"group", "dense.learning-rate=0.25"},
                                               {"group", "dense.schedule=linear"},
                                               {"group", "norm.until-epoch=1"}});
  const std::vector<GroupRate> rates = group_rates(model_.layout, config, 10);
  StepRow row;
  fill_rates(rates, 50, 100, row);
  EXPECT_EQ(row.learning_rates[model_.layout.find_group("filters")], 0.5F);
  EXPECT_EQ(row.learning_rates[model_.layout.find_group("dense")], 0.125F);
  EXPECT_EQ(row.learning_rates[model_.layout.find_group("norm")], 0.0F);
}

}  // namespace
}  // namespace convoy::test
