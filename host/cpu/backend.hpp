// The CPU backend: oneDNN for products, own kernels for the rest, OpenMP threads. Everything runs at once in the
// calling thread's order, so "enqueued" means done and a recording is the calls themselves.
#pragma once

#include <memory>

#include "convoy/backend.hpp"

namespace convoy {

struct CpuOptions {
  Precision precision = Precision::fp32;  // fp32 or bf16; others throw
  int threads = 0;                        // 0: every core that this process may use
};

// Why this build has no CPU backend, in a few words; empty where it has one.
std::string cpu_missing();

// Throws Error where this processor lacks the precision.
std::unique_ptr<Backend> make_cpu_backend(const CpuOptions&);

// Why this processor cannot compute in `precision`, in a few words; empty where it can.
std::string cpu_lacks(Precision precision);

}  // namespace convoy
