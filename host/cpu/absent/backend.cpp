// Stands in for the CPU backend in a build without oneDNN.
#include "cpu/backend.hpp"

#include "convoy/error.hpp"

namespace convoy {

std::string cpu_missing() {
  return "this build has no oneDNN: install libdnnl-dev or let tools/build get it from PyPI";
}

std::unique_ptr<Backend> make_cpu_backend(const CpuOptions&) { fail_usage("no CPU backend: {}", cpu_missing()); }

std::string cpu_lacks(Precision) { return cpu_missing(); }

}  // namespace convoy
