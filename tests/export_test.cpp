// labels: slow
// needs: oneDNN
// convoy export --onnx: onnxruntime, given the images as they are in the files, computes the logits that convoy eval
// does.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "support/python_tool.hpp"

namespace convoy::test {
namespace {

// Largest deviation, as a share of the largest logit: two fp32 programs that sum thousands of terms through twenty
// layers in different orders differ by some 1e-6 of it; anything structural by far more than this.
constexpr const char* kTolerance = "1e-4";

// Arguments: the file of the test images, the bytes before its pixels and before each image's, the tolerance.
constexpr const char* kCompare = R"py(
import json, sys
import numpy as np, onnxruntime
from safetensors.numpy import load_file

images, header, labels, tolerance = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
session = onnxruntime.InferenceSession("network.onnx", providers=["CPUExecutionProvider"])
given, = session.get_inputs()
made, = session.get_outputs()
expected = load_file("logits.safetensors")["logits"]
channels = 3 if labels else 1
assert (given.name, given.type, given.shape) == ("images", "tensor(float)", ["N", channels, 32, 32]), given
assert (made.name, made.type, made.shape) == ("logits", "tensor(float)", ["N", expected.shape[1]]), made
assert len(json.loads(session.get_modelmeta().custom_metadata_map["classes"])) == expected.shape[1]

data = np.fromfile(images, np.uint8)[header:].reshape(len(expected), -1)[:, labels:]
side = 32 if labels else 28
pixels = data.reshape(-1, channels, side, side)
if side == 28:  # as the reader pads it
    pixels = np.pad(pixels, ((0, 0), (0, 0), (2, 2), (2, 2)))
logits, = session.run(None, {"images": pixels.astype(np.float32) / 255})
deviation = np.abs(logits - expected).max() / np.abs(expected).max()
print(f"deviation {deviation:.2e}")
assert deviation <= tolerance, deviation
)py";

class Export : public PythonTool, public testing::WithParamInterface<ZooTraining> {
 protected:
  Export() : PythonTool("numpy, onnxruntime, safetensors") {}
};

TEST_P(Export, onnxruntime_computes_the_same_logits) {
  const ZooTraining& one = GetParam();
  const std::string images = one.images;
  const bool is_idx = images.ends_with("idx3-ubyte");
  write_data(one.data());
  convoy(train_command(one));
  convoy("export --weights run/weights.safetensors --onnx network.onnx");
  convoy("eval --weights run/weights.safetensors --data data --logits logits.safetensors");
  const int labels = is_idx ? 0 : images == "test.bin" ? 2 : 1;  // bytes of each record of CIFAR-100 and CIFAR-10
  run_python(kCompare, fmt::format("data/{} {} {} {}", images, is_idx ? 16 : 0, labels, kTolerance));
}

INSTANTIATE_TEST_SUITE_P(Zoo, Export, testing::ValuesIn(kZooTrainings),
                         [](const auto& one) { return std::string(one.param.name); });

// Layers and paddings that no zoo network has.
class ExportLayers : public PythonTool {
 protected:
  ExportLayers() : PythonTool("numpy, onnxruntime, safetensors") {}
};

TEST_F(ExportLayers, that_no_zoo_network_has_compute_the_same_too) {
  write_data(zoo_cifar10());
  std::ofstream(folder_.path() / "odd.json") << R"({"name": "odd", "input": [32, 32, "channels"], "layers": [
    {"name": "conv1", "type": "convolution", "filters": 6, "kernel": [3, 2], "stride": 2, "padding": "same"},
    {"name": "silu1", "type": "silu"},
    {"name": "pool1", "type": "average_pool", "kernel": 3, "stride": 2, "padding": 1},
    {"name": "conv2", "type": "convolution", "filters": 6, "kernel": 3, "padding": [1, 1], "bias": false},
    {"name": "norm2", "type": "batch_normalisation", "epsilon": 0.01, "scale": false},
    {"name": "gelu2", "type": "gelu"},
    {"name": "sum", "type": "add", "from": ["gelu2", "pool1"]},
    {"name": "drop", "type": "dropout", "rate": 0.5},
    {"name": "pool2", "type": "max_pool", "kernel": 2, "padding": [1, 0, 0, 1]},
    {"name": "flat", "type": "flatten"},
    {"name": "dense1", "type": "dense", "outputs": 9},
    {"name": "relu1", "type": "relu"},
    {"name": "head", "type": "dense", "outputs": "classes", "bias": false},
    {"name": "times", "type": "scale", "factor": 0.25}]})";
  convoy("train --data data --model odd.json --batch 20 --steps 3 --epochs 2 --learning-rate 0.05 --out run");
  convoy("export --weights run/weights.safetensors --onnx network.onnx");
  convoy("eval --weights run/weights.safetensors --data data --logits logits.safetensors");
  run_python(kCompare, std::string("data/test_batch.bin 0 1 ") + kTolerance);
}

}  // namespace
}  // namespace convoy::test
