// What checkpoints are made of: when they are due, rows that are cut back, checksums piece by piece, state.json.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "convoy/checksum.hpp"
#include "convoy/error.hpp"
#include "io/metrics_rows.hpp"
#include "support/temporary_folder.hpp"
#include "train/checkpoint/checkpoint_folder.hpp"
#include "train/checkpoint/checkpoint_interval.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;

TEST(CheckpointInterval, is_steps_or_a_time) {
  EXPECT_EQ(CheckpointInterval::parse("500").steps, 500);
  EXPECT_EQ(CheckpointInterval::parse("90s").seconds, 90);
  EXPECT_EQ(CheckpointInterval::parse("5m").seconds, 300);
  EXPECT_EQ(CheckpointInterval::parse("2h").seconds, 7200);
  EXPECT_FALSE(CheckpointInterval::parse("0").is_set());
  EXPECT_TRUE(CheckpointInterval::parse("5").is_due_after(10));
  EXPECT_FALSE(CheckpointInterval::parse("5").is_due_after(11));
  EXPECT_FALSE(CheckpointInterval::parse("5m").is_due_after(300));
  for (const char* wrong : {"", "m", "-5", "5 m", "5d", "5min", "1.5h", "99999999999999999999"}) {
    EXPECT_THROW(CheckpointInterval::parse(wrong), UsageError) << wrong;
  }
}

TEST(RunningChecksum, is_that_of_the_pieces_together) {
  std::string bytes;
  for (int i = 0; i < 1003; ++i) bytes += static_cast<char>(i * 7);
  for (const std::size_t piece : {1, 3, 4, 5, 64, 1003}) {
    RunningChecksum running;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      running.add(bytes.data() + at, std::min(piece, bytes.size() - at));
    }
    EXPECT_EQ(running.value(), checksum(bytes.data(), bytes.size())) << piece;
  }
}

class Files : public testing::Test {
 protected:
  std::string cut(const std::string& text, const RunPosition& position) const {
    const fs::path file = folder_.path() / "metrics.jsonl";
    std::ofstream(file) << text;
    cut_rows_back(file, position);
    std::ifstream stream(file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  TemporaryFolder folder_;
};

TEST_F(Files, rows_are_cut_back_to_a_step_and_the_epochs_that_were_evaluated) {
  const std::string first = "{\"kind\":\"rank\",\"rank\":0}\n{\"kind\":\"step\",\"step\":10,\"epoch\":1}\n";
  const std::string epoch = "{\"kind\":\"epoch\",\"step\":10,\"epoch\":1}\n";
  const std::string later = "{\"kind\":\"step\",\"step\":11,\"epoch\":2}\n";
  EXPECT_EQ(cut(first + epoch + later, {10, 1}), first + epoch);
  EXPECT_EQ(cut(first + epoch + later, {10, 0}), first) << "stopped before its evaluation";
  EXPECT_EQ(cut(first + epoch + later, {11, 1}), first + epoch + later);
  EXPECT_EQ(cut(first + epoch + "{\"kind\":\"st", {20, 2}), first + epoch) << "a row cut off";
  EXPECT_EQ(cut(first + "\n" + epoch, {20, 2}), first) << "what follows no row is none";
  cut_rows_back(folder_.path() / "nothing", {1, 1});
}

Manifest manifest_of(std::int64_t step) {
  Manifest manifest;
  manifest.step = step;
  manifest.steps_per_epoch = 7;
  manifest.configuration = "name = \"a \\\"b\\\"\"\n";
  manifest.elapsed_seconds = 0.1;
  manifest.started = "2026-01-01T00:00:00Z";
  manifest.validation_accuracy = 1.0 / 3;
  manifest.versions = {{"onednn", "2.6.3"}};
  return manifest;
}

TEST_F(Files, a_manifest_comes_back_as_it_was) {
  const CheckpointFolder checkpoints(folder_.path());
  fs::create_directories(checkpoints.temporary(3));
  std::ofstream(checkpoints.temporary(3) / "part") << "12345";
  Manifest manifest = manifest_of(3);
  manifest.files = {{"part", 5, 0xfedcba9876543210U}};
  checkpoints.publish(manifest, true, 2);
  const Manifest back = read_manifest(folder_.path() / "checkpoints" / "best");
  EXPECT_EQ(to_json(back), to_json(manifest));
  EXPECT_EQ(back.validation_accuracy, 1.0 / 3);
  EXPECT_FALSE(fs::exists(checkpoints.temporary(3)));
}

TEST_F(Files, a_checkpoint_is_not_published_without_all_its_files) {
  const CheckpointFolder checkpoints(folder_.path());
  fs::create_directories(checkpoints.temporary(3));
  Manifest manifest = manifest_of(3);
  manifest.files = {{"rank-1.safetensors", 5, 0}};  // of a host that writes elsewhere
  EXPECT_THROW(checkpoints.publish(manifest, false, 2), Error);
  EXPECT_TRUE(checkpoints.steps().empty());
}

TEST_F(Files, the_last_ones_and_the_best_stay) {
  const CheckpointFolder checkpoints(folder_.path());
  for (const std::int64_t step : {1, 2, 3, 4, 5}) {
    fs::create_directories(checkpoints.temporary(step));
    checkpoints.publish(manifest_of(step), step == 2, 2);
  }
  EXPECT_EQ(checkpoints.steps(), (std::vector<std::int64_t>{5, 4, 2}));
  fs::create_directories(checkpoints.temporary(6));
  checkpoints.forget_after(4);
  EXPECT_EQ(checkpoints.steps(), (std::vector<std::int64_t>{4, 2}));
  EXPECT_FALSE(fs::exists(checkpoints.temporary(6)));
  EXPECT_TRUE(fs::exists(folder_.path() / "checkpoints" / "best"));
  checkpoints.forget_after(1);
  EXPECT_FALSE(fs::is_symlink(folder_.path() / "checkpoints" / "best")) << "it would lead nowhere";
}

}  // namespace
}  // namespace convoy
