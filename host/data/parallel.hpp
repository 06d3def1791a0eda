// A loop over a few independent pieces (files, blocks of images) on as many threads as this process may use.
#pragma once

#include <cstddef>
#include <functional>

namespace convoy {

// Calls body(0) ... body(count - 1), each once, in no order. Where bodies throw, the exception of the lowest index
// is thrown on after all have ended, so a message does not depend on timing.
void parallel_for(std::size_t count, const std::function<void(std::size_t)>& body);

}  // namespace convoy
