#include "slurm/slurm_cluster.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <string_view>
#include <thread>

namespace convoy::test {
namespace {

constexpr const char* kScript = CONVOY_TEST_SOURCE_DIR "/tests/slurm/cluster";
constexpr int kSecondsForACommand = 300;

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char letter : text) result += letter == '\'' ? "'\\''" : std::string(1, letter);
  return result + "'";
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// The parts of a checkout that a job needs, with the program under test.
std::string make_checkout(const std::filesystem::path& folder) {
  const std::string to = quoted(folder.string());
  const std::string build = quoted(std::filesystem::path(CONVOY_TEST_EXECUTABLE).parent_path().string());
  return "mkdir -p " + to + "/build " + to +
         "/runs && cp -r '" CONVOY_TEST_SOURCE_DIR "/slurm' '" CONVOY_TEST_SOURCE_DIR "/tools' " + to + " && rm -f " +
         to + "/slurm/site.env && for file in " + build + "/convoy " + build +
         "/libconvoy_*.so; do [ ! -f \"$file\" ] || ln -s \"$file\" " + to + "/build; done; echo CONVOY_DEVICE=cpu > " +
         to + "/slurm/site.env";
}

}  // namespace

SlurmCluster::SlurmCluster(int nodes, const std::string& start) {
  if (std::string_view(CONVOY_TEST_EXECUTABLE).empty()) {
    lack_ = "built without the executable";
    return;
  }
  ShellOutcome outcome = run_shell(std::string(kScript) + " check 2>&1");
  if (outcome.code != 0) {
    lack_ = outcome.output;
    return;
  }
  outcome = run_shell(make_checkout(checkout()) + " 2>&1");
  if (outcome.code == 0) outcome = control(fmt::format("start {} {} {}", nodes, ::getpid(), start));
  if (outcome.code != 0) failure_ = outcome.output;
}

SlurmCluster::~SlurmCluster() {
  if (lack_.empty()) control("stop");
}

ShellOutcome SlurmCluster::control(const std::string& arguments) const {
  const std::size_t end = arguments.find(' ');
  const std::string verb = arguments.substr(0, end), rest = end == std::string::npos ? "" : arguments.substr(end);
  return run_shell("mkdir -p " + quoted(checkout().string()) + " && cd " + quoted(checkout().string()) +
                   " && timeout --kill-after=5 " + std::to_string(kSecondsForACommand) + " " + kScript + " " + verb +
                   " " + quoted((folder_.path() / "cluster").string()) + rest + " 2>&1");
}

ShellOutcome SlurmCluster::login(const std::string& command) const {
  return control("login bash -c " + quoted(command));
}

ShellOutcome SlurmCluster::node(const std::string& name, const std::string& command) const {
  return control("node " + name + " bash -c " + quoted(command));
}

int SlurmCluster::submit(const std::string& command) const {
  const ShellOutcome outcome = login(command);
  constexpr std::string_view kSubmitted = "Submitted batch job ";
  const std::size_t at = outcome.output.find(kSubmitted);
  if (outcome.code != 0 || at == std::string::npos) {
    ADD_FAILURE() << command << ": " << outcome.output;
    return 0;
  }
  return std::stoi(outcome.output.substr(at + kSubmitted.size()));
}

std::map<std::string, std::string> SlurmCluster::job(int id) const {
  std::map<std::string, std::string> fields;
  std::istringstream words(login("scontrol show job --oneliner " + std::to_string(id)).output);
  for (std::string word; words >> word;) {
    const std::size_t equals = word.find('=');
    if (equals != std::string::npos) fields.emplace(word.substr(0, equals), word.substr(equals + 1));
  }
  return fields;
}

std::string SlurmCluster::wait_for(int id, const std::string& states, int seconds) const {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  for (;;) {
    const std::string state = job(id)["JobState"];
    if (!state.empty() && ("|" + states + "|").find("|" + state + "|") != std::string::npos) return state;
    if (std::chrono::steady_clock::now() > end) return state + " after " + std::to_string(seconds) + " s";
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
}

bool SlurmCluster::wait_until(const std::string& condition, int seconds) const {
  const std::string loop =
      "for i in $(seq " + std::to_string(5 * seconds) + "); do " + condition + " && exit 0; sleep 0.2; done; exit 1";
  return run_shell("cd " + quoted(checkout().string()) + " && " + loop).code == 0;
}

std::string SlurmCluster::output(const std::string& name, int id) const {
  return text_of(checkout() / "runs" / (name + "-" + std::to_string(id) + ".out"));
}

std::filesystem::path SlurmCluster::run(const std::string& name, int id) const {
  return checkout() / "runs" / (name + "-" + std::to_string(id));
}

SlurmCluster* OnSlurm::cluster_ = nullptr;

void OnSlurm::SetUpTestSuite() {
  if (cluster_ == nullptr) cluster_ = new SlurmCluster;
}

void OnSlurm::TearDownTestSuite() {
  delete cluster_;
  cluster_ = nullptr;
}

void OnSlurm::SetUp() {
  if (!cluster().lack().empty()) GTEST_SKIP() << cluster().lack();
  if (!cluster().failure().empty()) GTEST_FAIL() << cluster().failure();
}

void OnSlurm::TearDown() {
  if (HasFailure() && cluster().lack().empty()) {
    std::cerr << cluster().control("logs").output
              << cluster().login("cd runs && tail -n 40 *.out; tail -n 20 */summary.json").output << std::flush;
  }
}

}  // namespace convoy::test
