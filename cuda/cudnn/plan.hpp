// An execution plan of cuDNN for one pass of a convolution: the first of those that cuDNN's heuristics propose which
// keeps our rules.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cudnn/graph.hpp"

namespace convoy::cuda::cudnn {

struct Rules {
  std::size_t workspace_limit = 0;  // bytes
  bool tf32 = false;                // products of fp32 elements may round them to TF32
  bool deterministic = false;       // the same bits every time
};

// Where the tensors of a pass lie: device memory, at multiples of 16 bytes.
struct Tensors {
  const void* input = nullptr;
  const void* filters = nullptr;
  const void* output = nullptr;
  const void* bias = nullptr;  // of a forward pass that has one
  bool operator==(const Tensors&) const = default;
};

class Plan {
 public:
  // Throws Error where cuDNN has no plan that keeps the rules: it names the convolution and what was in the way last.
  Plan(const Convolution&, const Rules&, const Target&);
  // Up to `most` plans that keep the rules, at least one, in the order of cuDNN's guess of their speed.
  static std::vector<Plan> candidates(const Convolution&, const Rules&, const Target&, std::size_t most);

  // As text, and back on a device of the same kind by the same version of cuDNN. Nothing where cuDNN refuses the text.
  std::string text() const;
  static std::optional<Plan> from_text(const std::string& text, const Convolution&, const Target&);

  std::size_t workspace_bytes() const { return workspace_bytes_; }
  const std::string& name() const { return name_; }  // "engine 47 (tensor cores)"
  bool on_tensor_cores() const { return on_tensor_cores_; }
  bool is_deterministic() const { return is_deterministic_; }

  // Enqueues on the handle's stream. A plan that cuDNN has accepted may be refused all the same when it is to run.
  void execute(cudnnHandle_t handle, const Tensors&, void* workspace);
  cudnnStatus_t try_execute(cudnnHandle_t handle, const Tensors&, void* workspace);

 private:
  Plan(const Convolution& convolution, std::shared_ptr<const Graph> graph)
      : convolution_(convolution), graph_(std::move(graph)) {}
  bool take(Descriptor& configuration, const Rules&, const Target&, std::string& obstacle);
  void pack(const Tensors&, void* workspace);

  Convolution convolution_;
  std::shared_ptr<const Graph> graph_;  // of all candidates; null where the plan was text
  std::optional<Descriptor> configuration_, plan_;
  std::size_t workspace_bytes_ = 0;
  std::string name_;
  bool on_tensor_cores_ = false, is_deterministic_ = false;
  std::optional<Descriptor> pack_;  // of the last call: it serves again while nothing has moved
  Tensors packed_;
  void* packed_workspace_ = nullptr;
};

}  // namespace convoy::cuda::cudnn
