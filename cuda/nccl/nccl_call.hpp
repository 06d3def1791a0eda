// Calls of a non-blocking NCCL communicator: each may still be under way when it returns, and must be polled before
// the stream, the communicator or an event is touched.
#pragma once

#include <nccl.h>

#include <chrono>

namespace convoy::cuda {

// Throws Error where the status is neither success nor in progress.
void check(ncclResult_t status, const char* call, const char* file, int line);

// Waits until what was called on the communicator has been taken in; throws after `limit`, or with NCCL's error.
void await(ncclComm_t communicator, std::chrono::duration<double> limit, const char* what);

}  // namespace convoy::cuda

#define CHECK_NCCL(call) ::convoy::cuda::check((call), #call, __FILE__, __LINE__)
