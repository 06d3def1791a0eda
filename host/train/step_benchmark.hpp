// How fast a training step is on synthetic images: the whole step, or each lowered operation against its floor.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/run_config.hpp"

namespace convoy {

struct StepTimes {
  std::string device_line, device, precision, network;
  int batch = 0, threads = 0;
  std::vector<double> seconds;   // of each timed step
  double images_per_second = 0;  // of the median step
  std::uint64_t peak_device_bytes = 0;
};

// The floor of an operation is the longer of its arithmetic and its least memory traffic, at what this machine does
// in one large product and one large copy.
struct LayerTimes {
  struct Row {
    std::string name, implementation;
    bool is_convolution = false;
    double forward_seconds = 0, backward_seconds = 0;
    double forward_floor = 0, backward_floor = 0;
  };
  std::vector<Row> rows;
  double flops_per_second = 0, bytes_per_second = 0;  // what the floors were taken from
  StepTimes step;
};

// `steps` timed ones, after two that are not. `config` gives model, batch, optimizer, device, precision, threads.
StepTimes measure_step(const RunConfig& config, int steps);
LayerTimes measure_layers(const RunConfig& config, int steps);

}  // namespace convoy
