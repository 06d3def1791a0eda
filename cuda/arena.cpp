#include "arena.hpp"

#include "convoy/error.hpp"

namespace convoy::cuda {

void accumulate_logits(const float*, float, bool, std::size_t, float*, const Context&) { fail("to be written"); }
void add_gradient(std::size_t, void*, const void*, const Context&) { fail("to be written"); }
void add_scaled(float*, float, const float*, std::size_t, const Context&) { fail("to be written"); }
void scale(float*, float, std::size_t, const Context&) { fail("to be written"); }
void clip_factor(const float*, std::size_t, float, float*, float*, void*, const Context&) { fail("to be written"); }
void sum_of_squares(const float*, std::size_t, void*, const Context&) { fail("to be written"); }
void checksum(const void*, std::size_t, void*, const Context&) { fail("to be written"); }
void first_not_finite(const float*, std::size_t, void*, const Context&) { fail("to be written"); }

}  // namespace convoy::cuda
