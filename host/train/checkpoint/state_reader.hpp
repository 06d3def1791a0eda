// Restores one part of a run's state from the files of a checkpoint: from one file as it stands, or, where the number
// of ranks has changed, the mean over the files of all former ranks.
#pragma once

#include <string_view>
#include <vector>

#include "io/safetensors.hpp"
#include "train/checkpoint/state_visitor.hpp"

namespace convoy {

class StateReader final : public StateVisitor {
 public:
  // files: at least one; they outlive this. Arenas get the mean over them, host values their sum, or, without
  // `takes_values`, zeros. Errors name file and tensor.
  StateReader(Backend& backend, std::vector<const SafetensorsFile*> files, bool takes_values = true);

  void device(std::string_view name, float* data, std::size_t count) override;
  void values(std::string_view name, std::vector<double>& values) override { read(name, values); }
  void values(std::string_view name, std::vector<std::int64_t>& values) override { read(name, values); }

 private:
  template <typename T>
  void read(std::string_view name, std::vector<T>& values) const;

  Backend& backend_;
  std::vector<const SafetensorsFile*> files_;
  bool takes_values_;
};

}  // namespace convoy
