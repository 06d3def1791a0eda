// Memory that NCCL knows beforehand: it then moves it without copies of its own. What a machine or a version cannot do
// is left out without a word; collectives work on any memory.
#pragma once

#include <nccl.h>

#include <chrono>
#include <cstddef>

#include "convoy/communicator.hpp"

namespace convoy::cuda {

// Device memory that can be registered in every way, of at least `bytes`; null where there is none to be had.
void* allocate_registrable(std::size_t bytes);
void free_registrable(void* data) noexcept;

// All ranks of `group`, which are those of `host`, call it, for arenas of the same size. The result must end before
// `group` and before the memory. As a symmetric window (NCCL 2.27) where `use` is Use::most and every rank's memory
// came from allocate_registrable, else as a buffer of this rank's own.
Attachment register_memory(ncclComm_t group, Communicator& host, const Arena& arena, Use use,
                           std::chrono::duration<double> limit);

}  // namespace convoy::cuda
