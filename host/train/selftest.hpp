// Compares a backend with another that is trusted: every operation of every zoo network, and whole training steps.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "convoy/backend.hpp"

namespace convoy {

struct SelftestRow {
  std::string what;      // "conv2 of resnet18: convolution 3x3, ..."
  std::string quantity;  // the worst tensor: "input gradient"
  double error = 0;      // relative, of the whole tensor: ||found - expected|| / ||expected||
  double tolerance = 0;
  bool is_good() const { return error <= tolerance; }
};

// Calls `report` for each comparison as it is made; false where one is beyond its tolerance, or where an operation
// throws, which becomes a row of infinite error. `reference` computes in fp32. `networks`: names or files; none: the
// zoo.
bool selftest(Backend& backend, Backend& reference, const std::function<void(const SelftestRow&)>& report,
              std::vector<std::string> networks = {});

}  // namespace convoy
