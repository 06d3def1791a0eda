// Tests of what Convoy and Python programs make of the same files. CONVOY_PYTHON names the interpreter; the tests are
// skipped, by name, where it is not set or lacks a module.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "support/data_files.hpp"
#include "support/shell.hpp"
#include "support/temporary_folder.hpp"

namespace convoy::test {

class PythonTool : public testing::Test {
 protected:
  explicit PythonTool(const char* modules) : modules_(modules) {}  // "torch, safetensors"

  void SetUp() override {
    if (std::string_view(CONVOY_TEST_EXECUTABLE).empty()) GTEST_SKIP() << "built without the executable";
    const char* python = std::getenv("CONVOY_PYTHON");
    if (python == nullptr) GTEST_SKIP() << "CONVOY_PYTHON names no interpreter that has " << modules_;
    python_ = "'" + std::string(python) + "'";
    if (shell(python_ + " -c 'import " + modules_ + "'").code != 0) {
      GTEST_SKIP() << python << " (CONVOY_PYTHON) lacks one of " << modules_;
    }
  }

  // In the test's own folder.
  ShellOutcome shell(const std::string& command) const {
    return run_shell("cd '" + folder_.path().string() + "' && PYTHONDONTWRITEBYTECODE=1 " + command + " 2>&1");
  }
  void expect_success(const std::string& command) const {
    const ShellOutcome outcome = shell(command);
    ASSERT_EQ(outcome.code, 0) << command << "\n" << outcome.output;
  }
  void convoy(const std::string& arguments) const { expect_success("'" CONVOY_TEST_EXECUTABLE "' " + arguments); }
  // A program that finds the modules of tools/.
  void run_python(const std::string& program, const std::string& arguments = "") const {
    std::ofstream(folder_.path() / "program.py") << program;
    expect_success("PYTHONPATH='" CONVOY_TEST_SOURCE_DIR "/tools' " + python_ + " program.py " + arguments);
  }
  void write_data(const NamedFiles& files) const {
    std::filesystem::create_directory(folder_.path() / "data");
    write((folder_.path() / "data").string(), files);
  }

  TemporaryFolder folder_;
  std::string python_;

 private:
  const char* modules_;
};

// Every zoo network at a rate that moves each of its tensors; three channels, one repeated, one alone; 10 and 100
// classes.
struct ZooTraining {
  const char *name, *options;
  NamedFiles (*data)();
  const char* images;  // the file of the test images
};

inline constexpr std::size_t kZooImages = 40;  // of each file

inline NamedFiles zoo_cifar10() { return cifar10_binary(kZooImages); }
inline NamedFiles zoo_cifar100() { return cifar100_binary(2 * kZooImages, kZooImages); }
inline NamedFiles zoo_grey() { return idx_files(2 * kZooImages, kZooImages); }

inline constexpr ZooTraining kZooTrainings[] = {
    {"seed", "--model seed --optimizer adam --learning-rate 1e-3", zoo_cifar10, "test_batch.bin"},
    {"seed_on_grey", "--model seed --optimizer adam --learning-rate 1e-3", zoo_grey, "t10k-images-idx3-ubyte"},
    {"airbench_narrow", "--recipe fashion", zoo_grey, "t10k-images-idx3-ubyte"},
    {"airbench94", "--recipe airbench94 --precision fp32", zoo_cifar100, "test.bin"},
    {"resnet18", "--model resnet18 --learning-rate 0.01", zoo_cifar10, "test_batch.bin"},
};

// For convoy(): trains into run/ on data/.
inline std::string train_command(const ZooTraining& one) {
  return std::string("train --data data --batch 20 --steps 3 --epochs 2 --evaluate-every end --evaluation-batch 40 ") +
         one.options + " --out run";
}

}  // namespace convoy::test
