// For what plans are made: the device of a handle, or one that is not here, by its properties.
#pragma once

#include <optional>
#include <string_view>

#include "cudnn/descriptor.hpp"

namespace convoy::cuda::cudnn {

class Target {
 public:
  explicit Target(cudnnHandle_t handle) : handle_(handle) {}
  // A device's properties as cuDNN's JSON text (needs cuDNN 9.8). Its plans can be looked at, not executed.
  explicit Target(std::string_view properties);

  // Say to a descriptor for which device it is.
  void name_in_graph(Descriptor&) const;
  void name_in_heuristics(Descriptor&) const;
  void name_in_plan(Descriptor&) const;

 private:
  cudnnHandle_t handle_ = nullptr;
  std::optional<Descriptor> properties_;
};

}  // namespace convoy::cuda::cudnn
