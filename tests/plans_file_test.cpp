// The file of the plans that a run's workers chose: each gets its own back, and nobody a damaged one.
#include "train/plans_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "convoy/error.hpp"
#include "io/checked_json.hpp"
#include "support/temporary_folder.hpp"
#include "support/thread_ranks.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;
using namespace test;
using testing::HasSubstr;
using testing::Not;

std::string text_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

class PlansFile : public testing::Test {
 protected:
  // A run by as many workers as there are choices.
  fs::path write(const std::vector<Choices>& choices) {
    const fs::path path = folder_.path() / "run";
    fs::remove_all(path);
    run_ranks(static_cast<int>(choices.size()), [&](Communicator& workers) {
      std::optional<RunFolder> made;
      if (workers.rank() == 0) made = RunFolder::create(path);
      write_plans(workers, choices[static_cast<std::size_t>(workers.rank())], made ? &*made : nullptr);
    });
    return path;
  }

  TemporaryFolder folder_;
};

const Choices kAlike = {{"convolution a", R"("engine 1")"}, {"convolution b", R"({"name":"engine 2","text":"\\n\""})"}};

TEST_F(PlansFile, gives_each_worker_its_own_choices_back) {
  const Choices another = {{"convolution a", R"("engine 1")"}, {"convolution b", "3"}};
  const Choices of_another_device = {{"convolution a on it", "4"}};
  const fs::path run = write({kAlike, another, of_another_device, kAlike});
  Choices of_the_first = kAlike;
  of_the_first.merge(Choices(of_another_device));
  EXPECT_EQ(read_plans(run, 0), of_the_first);
  EXPECT_EQ(read_plans(run, 1).at("convolution a"), another.at("convolution a"));
  EXPECT_EQ(read_plans(run, 1).at("convolution b"), "3");
  EXPECT_EQ(read_plans(run, 2).at("convolution a on it"), "4");
  for (const int like_the_first : {3, 4}) EXPECT_EQ(read_plans(run, like_the_first), read_plans(run, 0));
}

TEST_F(PlansFile, says_once_what_workers_chose_alike) {
  const fs::path run = write({kAlike, kAlike, kAlike});
  for (const int worker : {0, 1, 2}) EXPECT_EQ(read_plans(run, worker), kAlike);
  const auto json = nlohmann::json::parse(text_of(run / kPlansName));
  EXPECT_EQ(json["plans"].size(), kAlike.size());
  EXPECT_FALSE(json.contains("of_workers"));
}

TEST_F(PlansFile, is_not_there_where_nobody_chose_anything) {
  const fs::path run = write({{}, {}});
  EXPECT_FALSE(fs::exists(run / kPlansName));
  EXPECT_TRUE(read_plans(run, 0).empty());
}

TEST_F(PlansFile, is_refused_in_a_line_where_it_is_damaged_or_anothers) {
  const fs::path run = write({kAlike});
  const std::string whole = text_of(run / kPlansName);
  const auto expect_refusal = [&](const std::string& text, const char* reason) {
    std::ofstream(run / kPlansName, std::ios::binary) << text;
    try {
      read_plans(run, 0);
      ADD_FAILURE() << "taken: " << text;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(reason));
      EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    }
  };
  for (std::size_t byte = 0; byte < whole.size(); ++byte) {
    std::string flipped = whole;
    flipped[byte] ^= 4;  // of every character of JSON, none becomes another that means the same
    if (nlohmann::json::parse(flipped, nullptr, false) == nlohmann::json::parse(whole)) continue;
    expect_refusal(flipped, kPlansName);
  }
  expect_refusal(whole.substr(0, whole.size() / 2), "damaged: it cannot be read as a run's plans");
  expect_refusal("", "damaged");
  expect_refusal("[]", "not a run's plans of this program");
  const CheckedJson kind{.format = "convoy plans 1", .what = "", .most_bytes = 0};
  expect_refusal(to_checked_text(kind, {{"of_workers", {}}}), "damaged: it cannot be read as a run's plans");
  expect_refusal(to_checked_text(kind, {{"plans", {}}, {"of_workers", 3}}), "cannot be read as a run's plans");
}

TEST_F(PlansFile, new_choices_are_those_that_were_not_there_or_were_others) {
  EXPECT_EQ(count_new(kAlike, kAlike), 0U);
  EXPECT_EQ(count_new(kAlike, {}), 2U);
  EXPECT_EQ(count_new(kAlike, {{"convolution a", R"("engine 1")"}, {"convolution b", "2"}, {"c", "1"}}), 1U);
}

}  // namespace
}  // namespace convoy
