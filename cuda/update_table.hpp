// The blocks of an update as a table in device memory, written once at planning.
#pragma once

#include <vector>

#include "context.hpp"
#include "device_memory.hpp"
#include "nn/update_blocks.hpp"

namespace convoy::cuda {

class UpdateTable {
 public:
  UpdateTable(const std::vector<UpdateRange>& ranges, const Context&);
  const UpdateBlock* blocks() const { return static_cast<const UpdateBlock*>(memory_.get()); }
  int count() const { return count_; }

 private:
  DeviceMemory memory_;
  int count_ = 0;
};

}  // namespace convoy::cuda
