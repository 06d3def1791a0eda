// See update_table.hpp.
#include "update_table.hpp"

#include "check.hpp"
#include "kernels/update.hpp"

namespace convoy::cuda {

UpdateTable::UpdateTable(const std::vector<UpdateRange>& ranges, const Context& context) {
  const std::vector<UpdateBlock> blocks = cut_into_blocks(ranges, kUpdateBlock);
  if (blocks.empty()) return;
  const std::size_t bytes = blocks.size() * sizeof(UpdateBlock);
  memory_ = allocate_memory(bytes);
  CHECK_CUDA(cudaMemcpyAsync(memory_.get(), blocks.data(), bytes, cudaMemcpyHostToDevice, context.stream));
  CHECK_CUDA(cudaStreamSynchronize(context.stream));  // before `blocks` goes; planning may wait
  count_ = static_cast<int>(blocks.size());
}

}  // namespace convoy::cuda
