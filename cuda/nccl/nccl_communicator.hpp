// Collectives between GPUs by NCCL, in place on device arenas, on a stream of their own. What workers say to each other
// on the host (sums of a few values, texts) goes through the communicator that launched them, which also carries NCCL's
// unique id: NCCL needs no bootstrap of its own.
#pragma once

#include <cuda_runtime_api.h>

#include <chrono>
#include <memory>

#include "collective_mark.hpp"
#include "convoy/communicator.hpp"
#include "recording.hpp"

namespace convoy::cuda {

struct NcclOptions {
  std::chrono::duration<double> limit;  // for NCCL to find a way between the ranks, and for each call to be taken in
  // Sums in the order of ranks, so that they are the same bits however the ranks are spread over processes and links;
  // slower, and it takes as much memory again as the longest range.
  bool in_order = false;
  bool graphs_share_process = false;  // see ConnectRequest::graph_collectives
};

// All workers of `host` call it; that, `compute`, the stream that collectives are ordered with, `capture`, what is
// captured on that stream, and `mark`, which tells where that stream waits, outlive the result. Throws Error where two
// workers have one GPU, or where NCCL finds no way between them in time.
std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, int device, cudaStream_t compute,
                                                     const Capture& capture, CollectiveMark& mark,
                                                     const NcclOptions& options);

}  // namespace convoy::cuda
