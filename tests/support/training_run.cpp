// See training_run.hpp.
#include "support/training_run.hpp"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>
#include <memory>

#include "io/process_clock.hpp"
#include "io/progress.hpp"
#include "io/safetensors.hpp"
#include "nn/initialise.hpp"
#include "support/data_files.hpp"
#include "train/run_context.hpp"
#include "train/train.hpp"
#include "train/weights_file.hpp"

namespace convoy::test {
namespace {

// What is printed into it.
class TextStream {
 public:
  TextStream() : stream_(::open_memstream(&text_, &size_)) {}
  TextStream(const TextStream&) = delete;
  TextStream& operator=(const TextStream&) = delete;
  ~TextStream() {
    std::fclose(stream_);
    std::free(text_);
  }
  std::FILE* stream() const { return stream_; }
  std::string text() const {
    std::fflush(stream_);
    return {text_, size_};
  }

 private:
  char* text_ = nullptr;
  std::size_t size_ = 0;
  std::FILE* stream_;
};

Tensors tensors_of(const std::filesystem::path& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  Tensors tensors;
  for (const TensorView& tensor : file.tensors()) tensors[tensor.name] = file.floats(tensor.name);
  return tensors;
}

}  // namespace

const char* const kTinyNetwork = R"({"name": "tiny", "input": [32, 32, "channels"], "layers": [
  {"name": "conv1", "type": "convolution", "filters": 8, "kernel": 3, "stride": 2},
  {"name": "norm1", "type": "batch_normalisation"},
  {"name": "relu1", "type": "relu"},
  {"name": "pool1", "type": "max_pool", "kernel": 3},
  {"name": "conv2", "type": "convolution", "filters": 16, "kernel": 3, "padding": "same", "bias": false},
  {"name": "norm2", "type": "batch_normalisation"},
  {"name": "gelu2", "type": "gelu"},
  {"name": "dropout", "type": "dropout", "rate": 0.25},
  {"name": "head", "type": "dense", "outputs": "classes"}]})";

const char* const kPlainNetwork = R"({"name": "plain", "input": [32, 32, "channels"], "layers": [
  {"name": "conv1", "type": "convolution", "filters": 8, "kernel": 3, "stride": 2},
  {"name": "relu1", "type": "relu"},
  {"name": "pool1", "type": "max_pool", "kernel": 3},
  {"name": "head", "type": "dense", "outputs": "classes"}]})";

nlohmann::json TrainedRun::summary() const { return nlohmann::json::parse(text_of("summary.json")); }

std::vector<nlohmann::json> TrainedRun::rows(const std::string& kind) const {
  std::vector<nlohmann::json> found;
  std::ifstream file(folder / "metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    nlohmann::json row = nlohmann::json::parse(line);
    if (row["kind"] == kind) found.push_back(std::move(row));
  }
  return found;
}

std::vector<double> TrainedRun::losses() const {
  std::vector<double> found;
  for (const nlohmann::json& row : rows("step")) found.push_back(row["loss"].get<double>());
  return found;
}

std::string TrainedRun::text_of(std::string_view file) const {
  std::ifstream stream(folder / file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

Tensors TrainedRun::tensors() const { return tensors_of(weights_path()); }

Tensors initial_tensors(const Model& model, std::uint64_t seed) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "initial.safetensors";
  save_weights(path, model.layout, initial_weights(model.layout, seed), {});
  return tensors_of(path);
}

TrainedRun TrainingGround::train(const std::vector<Setting>& settings, const std::string& recipe) {
  ++runs_;
  RunConfig config = resolve_config(recipe, with(settings, {{"out", last_folder().string()}}));
  const ProcessClock clock;
  const TextStream output;
  Progress progress(output.stream());
  RunContext context(clock, {"convoy", "train"}, progress);
  try {
    const std::unique_ptr<Communicator> self = make_self_communicator();
    const RunResults results = convoy::train(std::move(config), *self, context);
    return {last_folder(), results, output.text()};
  } catch (const std::exception& error) {
    context.fail(error.what());
    throw;
  }
}

std::string TrainingGround::write(const std::string& name, const std::string& text) const {
  const std::filesystem::path path = folder_.path() / name;
  std::ofstream(path) << text;
  return path.string();
}

std::string TrainingGround::tested_on_its_training_images(std::size_t per_batch) const {
  const std::filesystem::path folder = folder_.path() / "tested-on-training";
  std::filesystem::create_directories(folder);
  NamedFiles files = cifar10_binary(per_batch);
  file(files, "test_batch.bin") = cifar10_records(2 * per_batch);
  test::write(folder.string(), files);
  return folder.string();
}

std::filesystem::path TrainingGround::last_folder() const { return folder_.path() / ("run" + std::to_string(runs_)); }

std::vector<Setting> with(std::vector<Setting> settings, const std::vector<Setting>& more) {
  settings.insert(settings.end(), more.begin(), more.end());
  return settings;
}

}  // namespace convoy::test
