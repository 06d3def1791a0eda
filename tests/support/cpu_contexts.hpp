// Contexts of the CPU backend for tests of its parts: every instruction set that runs here, with 1 to 3 threads.
#pragma once

#include <string>
#include <vector>

#include "cpu/context.hpp"

namespace convoy::test {

struct NamedContext {
  std::string name;
  cpu::Context context;
};

inline cpu::Context cpu_context(const cpu::Kernels& kernels, int threads, DType compute = DType::f32) {
  cpu::Context context;
  context.compute = compute;
  context.threads = threads;
  context.kernels = &kernels;
  return context;
}

inline std::vector<NamedContext> cpu_contexts(DType compute = DType::f32) {
  std::vector<NamedContext> contexts;
  for (const cpu::Kernels& kernels : cpu::runnable_kernels()) {
    for (int threads : {1, 2, 3}) {
      contexts.push_back({std::string(kernels.isa) + ", " + std::to_string(threads) + " threads",
                          cpu_context(kernels, threads, compute)});
    }
  }
  return contexts;
}

}  // namespace convoy::test
