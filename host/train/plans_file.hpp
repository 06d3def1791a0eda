// plans.json of a run: what the backends of its workers chose, for those who go on with the run. As a rule the workers
// chose alike; where one of them differs, because it measured by itself or has another device, that stands apart.
#pragma once

#include <cstddef>
#include <filesystem>

#include "convoy/backend.hpp"
#include "convoy/communicator.hpp"
#include "io/run_folder.hpp"

namespace convoy {

inline constexpr const char* kPlansName = "plans.json";

// All workers call it; the one that has the run's folder writes. No file where nobody chose anything.
void write_plans(Communicator& workers, const Choices& of_this_worker, const RunFolder* folder);

// Those of one worker. Empty where the run has no such file; throws Error in one line where it is damaged.
Choices read_plans(const std::filesystem::path& folder, int worker);

// How many of the choices are none of the earlier ones.
std::size_t count_new(const Choices& choices, const Choices& earlier);

}  // namespace convoy
