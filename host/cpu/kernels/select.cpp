// Which instruction set's kernels run here: the best one that the processor has, unless CONVOY_CPU_ISA caps it.
#include <cstdlib>

#include "convoy/error.hpp"
#include "cpu/kernels/kernels.hpp"

namespace convoy::cpu {

// One object library each; see kernels/table.cpp.
namespace baseline {
void fill_table(KernelTable* table);
}
#if defined(__x86_64__)
namespace avx2 {
void fill_table(KernelTable* table);
}
namespace avx512 {
void fill_table(KernelTable* table);
}
#endif

namespace {

struct Candidate {
  std::string_view isa;
  void (*fill)(KernelTable*);
  bool (*runs_here)();
};

// From the plainest to the best; the conditions repeat the compiler flags of CMakeLists.txt.
const Candidate kCandidates[] = {
    {"baseline", &baseline::fill_table, [] { return true; }},
#if defined(__x86_64__)
    {"avx2", &avx2::fill_table,
     [] {
       return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 &&
              __builtin_cpu_supports("bmi") != 0 && __builtin_cpu_supports("bmi2") != 0;
     }},
    {"avx512", &avx512::fill_table,
     [] {
       return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
              __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
              __builtin_cpu_supports("avx512cd") != 0 && __builtin_cpu_supports("fma") != 0 &&
              __builtin_cpu_supports("bmi2") != 0;
     }},
#endif
};

std::vector<Kernels> fill_tables() {
  std::vector<Kernels> tables;
  for (const Candidate& candidate : kCandidates) {
    if (!candidate.runs_here()) continue;
    Kernels kernels{};
    kernels.isa = candidate.isa;
    candidate.fill(&kernels);
    tables.push_back(kernels);
  }
  return tables;
}

}  // namespace

const std::vector<Kernels>& runnable_kernels() {
  static const std::vector<Kernels> tables = fill_tables();
  return tables;
}

const Kernels& select_kernels() {
  const std::vector<Kernels>& tables = runnable_kernels();
  const char* cap = std::getenv("CONVOY_CPU_ISA");
  if (cap == nullptr || *cap == '\0') return tables.back();
  const std::string_view wanted = cap;
  if (wanted != "baseline" && wanted != "avx2" && wanted != "avx512") {
    fail_usage("CONVOY_CPU_ISA is '{}'; expected baseline, avx2 or avx512", wanted);
  }
  for (const Kernels& kernels : tables) {
    if (kernels.isa == wanted) return kernels;
  }
  return tables.back();  // a cap above what the processor has
}

}  // namespace convoy::cpu
